// the turns of the conversation that is open, and the answer being written
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

  // a passage that was asked about stands in the question as Markdown quotes it: "> ..."
  const QUOTED = /^\s*>\s?/;
  function asked(question) {
    const parts = [];
    for (const line of question.split("\n")) {
      const quoted = QUOTED.test(line), text = line.replace(QUOTED, "");
      if (parts.length && parts.at(-1).quoted === quoted) parts.at(-1).lines.push(text);
      else parts.push({ quoted, lines: [text] });
    }
    if (!parts.some((part) => part.quoted)) return question;
    return parts.map(({ quoted, lines }) => [quoted, lines.join("\n").trim()]).filter(([, text]) => text)
      .map(([quoted, text]) => h("span", { class: quoted ? "asked-passage" : "asked-words" }, text));
  }
  // as the desk makes a title of it: one's own words first
  function titled(question) {
    const lines = question.split("\n");
    return [...lines.filter((line) => !QUOTED.test(line)), ...lines.filter((line) => QUOTED.test(line)).map((line) => line.replace(QUOTED, ""))].join(" ").replace(/\s+/g, " ").trim();
  }

  // ---- the turns
  Lectern.panel("transcript", (root, send, gradio) => {
    let value = {};
    Lectern.transcriptValue = () => value;
    const heading = h("h1", { class: "thread-heading", tabindex: "-1" });
    const books = h("p", { class: "thread-books" });
    const turns = h("div", { class: "turns", role: "log", aria: { live: "off" } });
    const welcome = h("div", { class: "welcome" });
    const tools = h("div", { class: "thread-tools" });
    root.append(h("header", { class: "thread-head" }, h("div", { class: "thread-names" }, heading, books), tools), turns, welcome);
    let editing = null; // the turn whose question is being written anew
    let wanted = null; // the turn to be shown when the conversation is here

    function drawTools() {
      const id = value.thread;
      const save = (format) => button(null, t(`export.${format}`), () => { tools.querySelector("details").open = false; Lectern.say("threads", "save", { id, format }); }, { text: t(`export.${format}`) });
      const open = tools.querySelector("details")?.open;
      tools.replaceChildren(
        h("details", { class: "menu", open }, h("summary", { class: "button quiet bare", title: t("export.title"), aria: { label: t("export.title") } }, icon("download")),
          h("div", { class: "menu-list" }, Lectern.given.exports.map(save))));
    }

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
      const told = h("p", { class: "fine checked", role: "status", hidden: true });
      const actions = turn.running || turn.editing ? [] : [
        turn.html && checker(turn, answer, told),
        button("pen", t("turn.edit"), () => { editing = turn.id; draw(); }, { data: { focus: "edit" } }),
        button("again", t("turn.again"), () => Lectern.say("composer", "ask", { text: turn.question, instead_of: turn.id }), { data: { focus: "again" } }),
        turn.html && copied,
        branches(turn)];
      return h("article", { class: "turn", id: `turn-${turn.id}`, aria: { labelledby: `asked-${turn.id}` } },
        turn.editing ? editor(turn) : h("h2", { class: "question", id: `asked-${turn.id}` }, asked(turn.question)),
        turn.html && answer, told,
        turn.html && Lectern.gaze(turn.reading, turn.gaze, answer),
        !turn.html && !turn.error && !turn.running && h("p", { class: "unanswered" }, t(turn.finish === "stopped" ? "turn.stopped_before" : "turn.none")),
        turn.error && h("div", { class: "trouble", role: "alert" }, icon("warning"), h("p", {}, Lectern.said(turn.error))),
        !turn.running && h("footer", { class: "turn-facts" }, h("span", {}, facts(turn)), h("span", { class: "turn-actions" }, actions)));
    }

    // on request every sentence is looked for in the books, not only what stands in quotation marks
    function checker(turn, answer, told) {
      let on = false;
      const act = button("proof", t("turn.check"), async () => {
        on = !on;
        act.setAttribute("aria-pressed", String(on));
        let found = on ? null : { html: turn.html, quotes: turn.quotes || [] };
        if (on) {
          try {
            found = await gradio.server.check({ visitor: seat.visitor, thread: value.thread, turn: turn.id });
          } catch (error) {
            console.warn("lectern: the sentences were not checked", error);
            found = { note: { kind: "error", key: "note.unanswered" } };
          }
          if (found.note) Lectern.say("notes", "show", found.note);
          if (!on || !found.quotes) return;
        }
        // made and sanitized by app/ui/markup.py, as the answer itself
        answer.innerHTML = found.html;
        answer.classList.toggle("by-sentence", on);
        Lectern.markQuotes(answer, found.quotes);
        Lectern.cite(answer, turn.reading?.passages || []);
        told.hidden = !on;
        const of = (kind) => found.quotes.filter((one) => one.kind === kind).length;
        told.textContent = on ? t("turn.checked", { n: found.quotes.length, exact: of("exact"), near: of("near") }) : "";
      }, { aria: { label: t("turn.check"), pressed: "false" }, data: { focus: "check" } });
      return act;
    }

    // questions asked in the same place: an edited or repeated one begins a branch, the others stay
    function branches(turn) {
      const place = turn.beside.indexOf(turn.id);
      if (place < 0) return null;
      const go = (step) => send("branch", { turn: turn.beside[place + step] });
      return h("span", { class: "branches", role: "group", aria: { label: t("turn.branches") } },
        button("back", t("turn.branch_before"), () => go(-1), { disabled: place === 0, data: { focus: "before" } }),
        h("span", {}, t("turn.branch", { n: place + 1, total: turn.beside.length })),
        button("forth", t("turn.branch_after"), () => go(1), { disabled: place === turn.beside.length - 1, data: { focus: "after" } }));
    }

    function editor(turn) {
      const close = () => { editing = null; draw(); turns.querySelector(`#turn-${turn.id} [data-focus="edit"]`)?.focus(); };
      const done = () => {
        const text = field.value.trim();
        if (!text || Lectern.answering?.()) return;
        editing = null;
        Lectern.say("composer", "ask", { text, instead_of: turn.id });
        draw();
      };
      const field = h("textarea", { class: "edit-box", rows: Math.min(8, turn.question.split("\n").length + 1), maxlength: "20000", value: turn.question,
        data: { focus: "field" }, aria: { label: t("turn.edit") },
        onkeydown: (event) => {
          if (event.key === "Escape") { event.stopPropagation(); close(); }
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) { event.preventDefault(); done(); }
        } });
      requestAnimationFrame(() => { field.focus(); field.setSelectionRange(field.value.length, field.value.length); });
      return h("div", { class: "editing-turn" }, field, h("p", { class: "fine" }, t("turn.edit_hint")),
        h("div", { class: "confirm-actions" }, button(null, t("turn.edit_no"), close, { text: t("turn.edit_no") }), button(null, t("turn.edit_yes"), done, { text: t("turn.edit_yes"), kind: "primary small" })));
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
      const chips = (keys) => h("ul", { class: "suggestions" }, keys.map((key) => h("li", {}, h("button", { type: "button", onclick: () => Lectern.say("composer", "fill", t(key)) }, t(key)))));
      const only = seat.chosen.length === 1 && shelf.find((item) => item.id === seat.chosen[0]);
      if (only && Lectern.given.welcome.includes(only.sha256)) {
        return [h("div", { class: "welcome-mark" }, icon("lectern")), h("h2", {}, t("welcome.title")), h("p", {}, t("welcome.try", { title: only.title })),
          chips(["welcome.rule", "welcome.doubt", "welcome.end"]),
          button("plus", t("welcome.own"), () => Lectern.say("shelf", "pick"), { text: t("welcome.own"), kind: "firm" })];
      }
      const titles = shelf.filter((item) => seat.chosen.includes(item.id)).map((item) => t("title", { title: item.title }));
      const more = seat.chosen.length > 1 ? ["questions.common", "questions.differ", "questions.each"]
        : only && ["csv", "xlsx"].includes(only.format) ? ["questions.table", "questions.out", "questions.trend"]
        // a paper, as far as can be told: a short PDF
        : only && only.format === "pdf" && only.words && only.words < 30000 ? ["questions.problem", "questions.method", "questions.results"]
        : ["questions.about", "questions.who", "questions.end"];
      return [h("div", { class: "welcome-mark" }, icon("chat")), h("h2", {}, t("begin.title")), h("p", { class: "begin-books" }, Lectern.list(titles)),
        chips(more)];
    }

    function draw() {
      const blank = seat.thread === null || (value.thread === seat.thread && !(value.turns || []).length);
      root.classList.toggle("blank", blank);
      const title = blank ? t("begin.heading") : value.title || t("threads.untitled");
      // a title that only repeats the first question stands there already
      const first = (value.turns || [])[0]?.question || "";
      heading.hidden = [titled(first), first.replace(/\s+/g, " ")].some((said) => said.startsWith(title.replace(/[…\s]+$/, "").replace(/\s+/g, " ")));
      heading.textContent = title;
      books.textContent = blank ? "" : (value.books || []).join(t("list.separator"));
      Lectern.say("bar", "title", title);
      tools.hidden = blank;
      const stamp = Lectern.language() + value.thread;
      if (!blank && tools.stamp !== stamp) { tools.stamp = stamp; drawTools(); }
      draw_welcome(blank);
      keyed(turns, (value.thread === seat.thread ? value.turns || [] : []).map((turn) => [turn.id, { ...turn, editing: turn.id === editing, model: turn.model && Lectern.modelTitle(turn.model) }]), draw_turn);
      if (wanted !== null) {
        const there = turns.querySelector(`#turn-${wanted}`);
        if (there) { wanted = null; requestAnimationFrame(() => { there.scrollIntoView({ block: "start" }); there.classList.add("found"); }); }
      }
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
      clear(id) { value = { thread: id, turns: [], waiting: id !== null }; editing = null; draw(); },
      // the turn before or after the one at the top of the page
      step(by) {
        const box = sheet(), all = [...turns.children];
        const at = all.findIndex((one) => one.getBoundingClientRect().bottom > box.getBoundingClientRect().top + 60);
        const next = all[Math.max(0, Math.min(all.length - 1, (at < 0 ? all.length - 1 : at) + by))];
        next?.scrollIntoView({ block: "start" });
        next?.querySelector("button")?.focus({ preventScroll: true });
      },
      goTo(id) { wanted = id; draw(); },
      editLast() { const last = (value.turns || []).at(-1); if (last && !last.running) { editing = last.id; draw(); } },
      update(next) {
        if (!next || next.thread === undefined) return draw();
        // an answer to an older click: the reader is elsewhere by now
        const adopt = next.adopt && next.from === seat.thread;
        if (next.thread !== seat.thread && !adopt) return;
        const follows = wanted === null && (atEnd() || next.thread !== value.thread);
        if (adopt) { seat.thread = next.thread; seat.keep(); }
        const opened = value.waiting || next.thread !== value.thread;
        value = next;
        if (opened && next.documents && !next.adopt) { seat.chosen = next.documents; seat.quick = next.quick === true; seat.keep(); Lectern.say("shelf", "draw"); }
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
    const settled = h("div", { class: "part" }), tail = h("div", { class: "part" });
    const words = h("div", { class: "answer" }, settled, tail);
    const wait = h("div", { class: "waiting" });
    const status = h("p", { class: "visually-hidden", role: "status" });
    const looks = Lectern.liveGaze();
    root.append(wait, words, looks.root, status);
    Lectern.answering = () => Boolean(value.active) && value.thread === seat.thread;
    Lectern.following = () => Boolean(value.active) && value.thread === seat.thread && Date.now() - heard < 30000;

    function draw() {
      const active = Boolean(value.active) && value.thread === seat.thread;
      root.classList.toggle("active", active);
      looks.show(active ? value : {});
      if (!active) { wait.replaceChildren(); settled.replaceChildren(); settled.stamp = ""; tail.replaceChildren(); tail.stamp = ""; return; }
      const stick = atEnd();
      // what is settled only grows, and is not drawn again
      const done = value.settled || "";
      if (settled.stamp !== done) {
        if (settled.stamp && done.startsWith(settled.stamp)) settled.insertAdjacentHTML("beforeend", done.slice(settled.stamp.length));
        else settled.innerHTML = done;
        settled.stamp = done;
      }
      if (tail.stamp !== value.html) { tail.innerHTML = value.html || ""; tail.stamp = value.html; }
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
