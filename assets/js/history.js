// the history: conversations to open again, to find by their words, to name, remove and bring back, to keep as a file
(() => {
  const { h, t, button, keyed, seat } = Lectern;

  Lectern.panel("threads", (root, send, gradio) => {
    let value = {};
    let renaming = null;
    let resumed = 0;
    let undone = null; // the conversation that was removed last
    let wanted = "", found = null, asked = 0;
    const heading = h("h2", { id: "threads-heading" });
    const fresh = h("span", {});
    const box = h("input", { type: "search", class: "find-box", maxlength: 200, oninput: () => seek(box.value),
      onkeydown: (event) => { if (event.key === "Escape" && box.value) { event.stopPropagation(); box.value = ""; seek(""); } } });
    const finder = h("div", { class: "finder" }, h("div", { class: "finder-row" }, box));
    const back = h("div", { class: "undo", role: "status", hidden: true });
    const list = h("ul", { class: "threads", aria: { labelledby: "threads-heading" } });
    root.append(h("div", { class: "panel-head" }, heading, fresh), finder, back, list);

    function leave(id) {
      seat.thread = id;
      seat.keep();
      Lectern.say("transcript", "clear", id);
      Lectern.say("live", "clear");
      Lectern.say("bar", "hideShelf");
    }

    function open(id, turn = null) {
      leave(id);
      if (turn !== null) Lectern.say("transcript", "goTo", turn);
      send("open", turn === null ? {} : { turn });
      draw();
    }

    function begin() {
      leave(null);
      send("begin");
      draw();
      Lectern.say("composer", "focus");
    }

    function remove(thread) {
      undone = thread;
      send("remove", { id: thread.id });
      if (thread.id === seat.thread) begin();
      else draw();
      back.querySelector("button")?.focus();
    }

    function seek(text) {
      wanted = text.trim();
      const mine = ++asked;
      if (!wanted) { found = null; draw(); return; }
      setTimeout(async () => {
        if (mine !== asked) return;
        let answer;
        try {
          await Lectern.arrived;
          answer = await gradio.server.find({ visitor: seat.visitor, query: wanted });
        } catch (error) {
          console.warn("lectern: the search was not answered", error);
          answer = { hits: [] };
        }
        // an older search must not write over a newer one
        if (mine !== asked) return;
        if (answer.note) Lectern.say("notes", "show", answer.note);
        found = answer.hits;
        draw();
      }, 180);
    }

    async function save({ id, format }) {
      try {
        const file = await gradio.server.export({ visitor: seat.visitor, thread: id, format, language: Lectern.language() });
        if (file.note) Lectern.say("notes", "show", file.note);
        if (!file.data) return;
        Lectern.download(file);
      } catch (error) {
        console.warn("lectern: nothing was exported", error);
        Lectern.say("notes", "show", { kind: "error", key: "note.unexported" });
      }
    }

    function row({ thread, current, running, edit }) {
      if (edit) {
        const field = h("input", {
          class: "rename", value: thread.title, maxlength: "200", aria: { label: t("threads.rename") }, data: { focus: "field" },
          onkeydown: (event) => {
            if (event.key === "Enter" && !event.isComposing) { renaming = null; send("rename", { id: thread.id, title: field.value }); draw(); }
            if (event.key === "Escape") { event.stopPropagation(); renaming = null; draw(); }
          },
          onblur: () => { if (renaming === thread.id) { renaming = null; draw(); } },
        });
        return h("li", { class: "thread editing" }, field);
      }
      return h("li", { class: `thread${current ? " current" : ""}` },
        h("button", { type: "button", class: "thread-open", onclick: () => open(thread.id), data: { focus: "open" },
          aria: current ? { current: "true" } : {} },
          h("span", { class: "thread-title" }, thread.title || t("threads.untitled")),
          h("span", { class: "thread-facts" }, running ? h("span", { class: "state busy" }, t("threads.running"))
            : [Lectern.when(thread.updated), thread.books.length ? " · " + thread.books.join(t("list.separator")) : ""].join(""))),
        h("span", { class: "thread-actions" },
          button("pen", t("threads.rename"), () => { renaming = thread.id; draw(); list.querySelector(".rename")?.select(); }, { data: { focus: "pen" } }),
          button("trash", t("threads.remove"), () => remove(thread), { data: { focus: "trash" } })));
    }

    function hit({ id, title, turn, snippet }) {
      return h("li", { class: "thread" },
        h("button", { type: "button", class: "thread-open", onclick: () => open(id, turn), data: { focus: "open" } },
          h("span", { class: "thread-title" }, title || t("threads.untitled")),
          h("span", { class: "hit-text" }, snippet[0], h("mark", {}, snippet[1]), snippet[2])));
    }

    function drawUndo(threads) {
      // it may have come back another way, and a removal takes a moment to show
      const there = undone && threads.some((thread) => thread.id === undone.id);
      if (undone?.gone && there) undone = null;
      else if (undone && !there) undone.gone = true;
      const stamp = Lectern.language() + (undone ? undone.id : "");
      if (back.stamp === stamp) return;
      back.stamp = stamp;
      back.hidden = undone === null;
      back.replaceChildren(...(undone === null ? [] : [
        h("span", {}, t("threads.removed", { title: undone.title })),
        button(null, t("threads.undo"), () => { const { id } = undone; undone = null; send("restore", { id }); draw(); }, { text: t("threads.undo") })]));
    }

    function draw() {
      const threads = value.threads || [];
      root.classList.toggle("nothing", !threads.length);
      heading.textContent = t("threads.title");
      fresh.replaceChildren(button("plus", t("threads.new"), begin, { text: t("threads.new"), class: "button quiet new-thread" }));
      finder.hidden = threads.length < 2 && !wanted;
      box.placeholder = t("threads.find");
      box.setAttribute("aria-label", t("threads.find"));
      drawUndo(threads);
      if (found) {
        keyed(list, found.length ? found.map((one) => ["found-" + one.id, one]) : [["none", null]],
          (data) => (data ? hit(data) : h("li", { class: "hint" }, t("threads.find_none"))));
        return;
      }
      const rows = threads.filter((thread) => !undone || undone.gone || thread.id !== undone.id);
      keyed(list, rows.length ? rows.map((thread) => [thread.id, {
        thread, current: thread.id === seat.thread, running: thread.running, edit: renaming === thread.id,
      }]) : [["none", null]], (data) => (data ? row(data) : h("li", { class: "hint" }, t("threads.empty"))));
    }

    return {
      open, begin, draw, save,
      find: () => { finder.hidden = false; box.focus(); box.select(); },
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
})();
