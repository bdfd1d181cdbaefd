// the history, the turns of the conversation that is open, and the answer being written
(() => {
  const { h, t, icon, button, keyed, seat } = Lectern;
  const sheet = () => document.getElementById("lectern-sheet");
  const atEnd = () => { const box = sheet(); return !box || box.scrollHeight - box.scrollTop - box.clientHeight < 120; };
  // turns that were not on the screen get their true height only when they come near it
  function toEnd(frames = 8) {
    const box = sheet();
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    if (frames) requestAnimationFrame(() => { if (box.scrollHeight - box.scrollTop - box.clientHeight > 1) toEnd(frames - 1); });
  }

  // ---- history
  Lectern.panel("threads", (root, send) => {
    let value = {};
    let asking = null;
    let renaming = null;
    let resumed = 0;
    const heading = h("h2", { id: "threads-heading" });
    const fresh = h("span", {});
    const list = h("ul", { class: "threads", aria: { labelledby: "threads-heading" } });
    root.append(h("div", { class: "panel-head" }, heading, fresh), list);

    function open(id) {
      seat.thread = id;
      seat.keep();
      Lectern.say("transcript", "clear", id);
      Lectern.say("live", "clear");
      Lectern.say("bar", "hideShelf");
      send("open");
      draw();
    }

    function begin() {
      seat.thread = null;
      seat.keep();
      Lectern.say("transcript", "clear", null);
      Lectern.say("live", "clear");
      Lectern.say("bar", "hideShelf");
      send("begin");
      draw();
      Lectern.say("composer", "focus");
    }

    function row({ thread, current, running, confirm, edit }) {
      if (edit) {
        const field = h("input", {
          class: "rename", value: thread.title, maxlength: "200", aria: { label: t("threads.rename") }, data: { focus: "field" },
          onkeydown: (event) => {
            if (event.key === "Enter" && !event.isComposing) { renaming = null; send("rename", { id: thread.id, title: field.value }); draw(); }
            if (event.key === "Escape") { renaming = null; draw(); }
          },
          onblur: () => { if (renaming === thread.id) { renaming = null; draw(); } },
        });
        return h("li", { class: "thread editing" }, field);
      }
      if (confirm) {
        return h("li", { class: "thread" }, h("div", { class: "confirm", role: "alertdialog", aria: { label: t("threads.remove_ask") } },
          h("span", {}, t("threads.remove_ask")),
          h("span", { class: "confirm-actions" }, button(null, t("threads.remove_yes"), () => { asking = null; send("remove", { id: thread.id }); if (current) begin(); else draw(); },
            { text: t("threads.remove_yes"), kind: "danger", data: { focus: "yes" } }),
          button(null, t("threads.remove_no"), () => { asking = null; draw(); }, { text: t("threads.remove_no"), data: { focus: "no" } }))));
      }
      return h("li", { class: `thread${current ? " current" : ""}` },
        h("button", { type: "button", class: "thread-open", onclick: () => open(thread.id), data: { focus: "open" },
          aria: current ? { current: "true" } : {} },
          h("span", { class: "thread-title" }, thread.title || t("threads.untitled")),
          h("span", { class: "thread-facts" }, running ? h("span", { class: "state busy" }, t("threads.running"))
            : [Lectern.when(thread.updated), thread.books.length ? " · " + thread.books.join(t("list.separator")) : ""].join(""))),
        h("span", { class: "thread-actions" },
          button("pen", t("threads.rename"), () => { renaming = thread.id; draw(); list.querySelector(".rename")?.select(); }, { data: { focus: "pen" } }),
          button("trash", t("threads.remove"), () => { asking = thread.id; draw(); list.querySelector('[data-focus="yes"]')?.focus(); }, { data: { focus: "trash" } })));
    }

    function draw() {
      const threads = value.threads || [];
      root.classList.toggle("nothing", !threads.length);
      heading.textContent = t("threads.title");
      fresh.replaceChildren(button("plus", t("threads.new"), begin, { text: t("threads.new"), class: "button quiet new-thread" }));
      keyed(list, threads.length ? threads.map((thread) => [thread.id, {
        thread, current: thread.id === seat.thread, running: thread.running, confirm: asking === thread.id, edit: renaming === thread.id,
      }]) : [["none", null]], (data) => (data ? row(data) : h("li", { class: "hint" }, t("threads.empty"))));
    }

    return {
      open, begin, draw,
      update(next) {
        value = next || {};
        draw();
        // a turn that this tab does not follow: begun in another tab, or the line was cut
        const here = (value.threads || []).find((thread) => thread.id === seat.thread);
        if (here && Date.now() - resumed > 4000 && Lectern.behind(here)) {
          resumed = Date.now();
          send("open");
        }
      },
    };
  });

  // ---- the turns
  Lectern.panel("transcript", (root, send) => {
    let value = {};
    Lectern.transcriptValue = () => value;
    const heading = h("h1", { class: "thread-heading", tabindex: "-1" });
    const books = h("p", { class: "thread-books" });
    const turns = h("div", { class: "turns", role: "log", aria: { live: "off" } });
    const welcome = h("div", { class: "welcome" });
    root.append(h("header", { class: "thread-head" }, heading, books), turns, welcome);

    function facts(turn) {
      const said = [];
      if (turn.finish === "stopped") said.push(t("turn.stopped"));
      if (turn.finish === "length") said.push(t("turn.length"));
      if (turn.model) said.push(turn.model);
      const { context, reused, answered } = turn.tokens;
      if (context) said.push(t("turn.context", { size: Lectern.tokens(context), reused: Lectern.tokens(reused || 0) }));
      const first = turn.seconds.first_token;
      if (first) said.push(t("turn.first", { time: Lectern.number(first, { maximumFractionDigits: first < 10 ? 1 : 0 }) }));
      if (answered && turn.seconds.decode) said.push(t("turn.speed", { n: Math.round(answered / turn.seconds.decode) }));
      return said.join(" · ");
    }

    function draw_turn(turn) {
      const answer = h("div", { class: "answer", lang: turn.language });
      // made and sanitized by app/ui/markup.py: no raw html, no image, no script comes out of it
      answer.innerHTML = turn.html;
      Lectern.markQuotes(answer, turn.quotes || []);
      const copied = button("copy", t("turn.copy"), async () => {
        try { await navigator.clipboard.writeText(turn.answer); Lectern.say("notes", "show", { kind: "done", key: "note.copied" }); } catch { /* refused by the browser */ }
      });
      return h("article", { class: "turn" },
        h("h2", { class: "question" }, turn.question),
        turn.html && answer,
        !turn.html && !turn.error && !turn.running && h("p", { class: "unanswered" }, t(turn.finish === "stopped" ? "turn.stopped_before" : "turn.none")),
        turn.error && h("div", { class: "trouble", role: "alert" }, icon("warning"), h("p", {}, turn.error),
          button("again", t("turn.again"), () => Lectern.say("composer", "ask", turn.question), { text: t("turn.again") })),
        !turn.running && (turn.html || turn.error) && h("footer", { class: "turn-facts" }, h("span", {}, facts(turn)), turn.html && copied));
    }

    function begin_hints() {
      const shelf = Lectern.shelf || [];
      if (!shelf.length) {
        return [h("div", { class: "welcome-mark" }, icon("lectern")), h("h2", {}, t("welcome.title")), h("p", {}, t("welcome.text")),
          h("ol", { class: "steps" }, ["drop", "read", "ask"].map((step) => h("li", {}, h("strong", {}, t(`welcome.${step}`)), h("span", {}, t(`welcome.${step}_text`))))),
          button("plus", t("welcome.add"), () => Lectern.say("shelf", "pick"), { text: t("welcome.add"), kind: "primary" })];
      }
      if (!seat.chosen.length) {
        return [h("div", { class: "welcome-mark" }, icon("books")), h("h2", {}, t("choose.title")), h("p", {}, t("choose.text"))];
      }
      const titles = shelf.filter((item) => seat.chosen.includes(item.id)).map((item) => t("title", { title: item.title }));
      const more = seat.chosen.length > 1 ? ["questions.common", "questions.differ", "questions.each"] : ["questions.about", "questions.who", "questions.end"];
      return [h("div", { class: "welcome-mark" }, icon("chat")), h("h2", {}, t("begin.title")), h("p", { class: "begin-books" }, Lectern.list(titles)),
        h("ul", { class: "suggestions" }, more.map((key) => h("li", {}, h("button", { type: "button", onclick: () => Lectern.say("composer", "fill", t(key)) }, t(key)))))];
    }

    function draw() {
      const blank = seat.thread === null || (value.thread === seat.thread && !(value.turns || []).length);
      root.classList.toggle("blank", blank);
      const title = blank ? t("begin.heading") : value.title || t("threads.untitled");
      // a title that only repeats the first question stands there already
      const asked = (value.turns || [])[0]?.question || "";
      heading.hidden = asked.replace(/\s+/g, " ").startsWith(title.replace(/[…\s]+$/, "").replace(/\s+/g, " "));
      heading.textContent = title;
      books.textContent = blank ? "" : (value.books || []).join(t("list.separator"));
      Lectern.say("bar", "title", title);
      draw_welcome(blank);
      keyed(turns, (value.thread === seat.thread ? value.turns || [] : []).map((turn) => [turn.id, { ...turn, model: turn.model && Lectern.modelTitle(turn.model) }]), draw_turn);
    }

    function draw_welcome(blank) {
      const state = JSON.stringify([blank, Lectern.language(), seat.chosen, Lectern.shelf?.map((item) => [item.id, item.title])]);
      if (welcome.stamp === state) return;
      welcome.stamp = state;
      welcome.replaceChildren(...(blank && Lectern.shelf ? begin_hints() : []));
    }

    return {
      draw,
      shelf: () => draw_welcome(root.classList.contains("blank")),
      clear(id) { value = { thread: id, turns: [], waiting: id !== null }; draw(); },
      update(next) {
        if (!next || next.thread === undefined) return draw();
        // an answer to an older click: the reader is elsewhere by now
        const adopt = next.adopt && next.from === seat.thread;
        if (next.thread !== seat.thread && !adopt) return;
        const follows = atEnd() || next.thread !== value.thread;
        if (adopt) { seat.thread = next.thread; seat.keep(); }
        const opened = value.waiting || next.thread !== value.thread;
        value = next;
        if (opened && next.documents && !next.adopt) { seat.chosen = next.documents; seat.keep(); Lectern.say("shelf", "draw"); }
        draw();
        Lectern.say("threads", "draw");
        Lectern.say("composer", "chosen");
        // the two panels may hear in either order
        if (adopt) Lectern.say("live", "adopted");
        if (follows) requestAnimationFrame(() => toEnd());
      },
    };
  });

  // true when the list of threads knows more of this one than the page shows
  Lectern.behind = (thread) => {
    const shown = Lectern.transcriptValue?.();
    if (Lectern.following?.()) return false;
    return Boolean(thread.running) || (shown && shown.thread === thread.id && shown.updated && thread.updated > shown.updated);
  };

  // ---- the answer being written: a small block of its own, so that a long conversation above it is never touched
  Lectern.panel("live", (root, send) => {
    let value = {};
    let heard = 0;
    let followed = null;
    const words = h("div", { class: "answer" });
    const wait = h("div", { class: "waiting" });
    const status = h("p", { class: "visually-hidden", role: "status" });
    root.append(wait, words, status);
    Lectern.following = () => Boolean(value.active) && value.thread === seat.thread && Date.now() - heard < 30000;

    function draw() {
      const active = Boolean(value.active) && value.thread === seat.thread;
      root.classList.toggle("active", active);
      if (!active) { wait.replaceChildren(); words.innerHTML = ""; return; }
      const stick = atEnd();
      if (words.stamp !== value.html) { words.innerHTML = value.html || ""; words.stamp = value.html; }
      words.classList.toggle("writing", value.phase === "answering");
      const p = value.progress;
      const parts = [];
      if (value.phase !== "answering" && value.phase !== "ended") {
        const share = p && p.total ? p.done / p.total : null;
        const text = value.phase === "reading"
          ? t("live.reading", { n: Math.floor((share || 0) * 100) })
          : value.phase === "loading" ? t("live.loading") : t("live.waiting");
        const left = value.phase === "reading" && p && p.seconds_left !== null && p.seconds_left !== undefined
          ? t("live.left", { time: Lectern.duration(p.seconds_left) }) : "";
        parts.push(h("p", {}, h("span", { class: "pulse" }), h("span", {}, text), left && h("span", { class: "state-more" }, left)));
        if (value.phase === "loading" && value.detail && p?.total) parts.push(h("p", { class: "fine" }, value.detail));
        parts.push(h("div", { class: "bar" + (share === null ? " unsure" : ""), role: "progressbar", aria: { label: text, valuemin: 0, valuemax: 100, ...(share === null ? {} : { valuenow: Math.floor(share * 100) }) } },
          h("span", { style: share === null ? {} : { width: share * 100 + "%" } })));
        if (value.phase === "reading" && p && p.total) {
          parts.push(h("p", { class: "fine" }, t("live.detail", { done: Lectern.tokens(p.done), total: Lectern.tokens(p.total), speed: Lectern.tokens(Math.round(p.tokens_per_second || 0)) })));
        }
      }
      wait.replaceChildren(...parts);
      if (stick) requestAnimationFrame(() => toEnd());
    }

    function follow() {
      const key = `${value.job} ${value.at}`;
      if (!value.active || !value.follow || value.thread !== seat.thread || followed === key) return;
      followed = key;
      send("follow", { thread: value.thread, job: value.job });
    }

    return {
      streams: true,
      draw,
      adopted() { follow(); draw(); Lectern.say("composer", "busy", value); },
      clear() { value = {}; draw(); },
      update(next) {
        const was = value.phase;
        // to be followed again: what is shown of it stays until there is more
        const again = next && next.follow && value.active && value.job === next.job;
        value = again ? { ...value, follow: true, at: next.at } : next || {};
        heard = Date.now();
        follow();
        // the last words stay until the turn takes their place
        if (value.phase === "ended" && was !== "ended" && value.thread === seat.thread) send("commit");
        if (value.phase && value.phase !== was && value.phase !== "ended") status.textContent = t("live.status." + value.phase);
        if (!value.active && was) status.textContent = t("live.status.done");
        draw();
        Lectern.say("composer", "busy", value);
      },
    };
  });
})();
