// the panes of the reader: contents, search in the book, notes and highlights
(() => {
  const { h, t, icon, button, keyed } = Lectern;

  // the chapter in which an offset lies; none before the first
  Lectern.chapterAt = (book, offset) => book.chapters[Lectern.floor(book.chapters.map((one) => one.start), offset)] || null;
  Lectern.pageAt = (book, offset) => (book.pages.length ? Lectern.floor(book.pages, offset) + 1 : null);
  const where = (book, offset) => [Lectern.chapterAt(book, offset)?.title, book.pages.length ? t("quote.page", { n: Lectern.pageAt(book, offset) }) : null].filter(Boolean).join(" · ");

  // the name of the open pane, in the language of the page, and its cross
  Lectern.paneHead = (box, leave) => {
    const element = h("header", { class: "pane-head" });
    return {
      element,
      draw(pane) {
        const name = t("reader." + { contents: "contents", look_up: "find", notes: "notes" }[pane.name]);
        if (element.stamp === name) return;
        element.stamp = name;
        box.setAttribute("aria-label", name);
        element.replaceChildren(h("h3", {}, name), button("close", t("reader.pane_close"), leave));
        pane.relabel?.();
      },
    };
  };

  Lectern.contentsPane = (reader) => {
    const list = h("ol", { class: "contents" });
    return {
      name: "contents",
      element: h("div", { class: "pane-body" }, list),
      show() {
        const { book } = reader;
        const here = Lectern.chapterAt(book, reader.position());
        list.replaceChildren(...(book.chapters.length ? book.chapters.map((chapter) =>
          h("li", { class: chapter.kind === "body" ? null : "matter" }, h("button", { type: "button", class: `contents-entry level-${Math.min(chapter.level, 4)}`, aria: chapter === here ? { current: "true" } : {},
            onclick: () => reader.go(chapter.start, { leave: true, away: 0 }) },
            h("span", {}, chapter.title),
            book.upto !== null && chapter.start >= book.upto && h("span", { class: "fine" }, icon("eyeoff"), h("span", { class: "visually-hidden" }, t("reader.unread"))))))
          : [h("li", { class: "hint" }, t("reader.no_contents"))]));
        const current = list.querySelector('[aria-current="true"]');
        requestAnimationFrame(() => { current?.scrollIntoView({ block: "center" }); (current || list.querySelector("button"))?.focus({ preventScroll: true }); });
      },
    };
  };

  Lectern.lookupPane = (reader) => {
    let asked = 0, hits = [], at = -1;
    const field = h("input", { type: "search", class: "find-box", maxlength: "200", oninput: () => seek(), onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing) step(event.shiftKey ? -1 : 1); } });
    const count = h("p", { class: "fine", role: "status" });
    const list = h("div", { class: "reader-hits" });

    function step(by) {
      if (!hits.length) return;
      at = (at + by + hits.length) % hits.length;
      const hit = hits[at];
      reader.go(hit.start, { end: hit.stop, found: true, away: 0.3 });
      [...list.children].forEach((one, n) => one.setAttribute("aria-current", String(n === at)));
      list.children[at]?.scrollIntoView({ block: "nearest" });
    }

    function seek() {
      const mine = ++asked, query = field.value.trim();
      at = -1;
      if (!query) { hits = []; draw(null); reader.found(null); return; }
      setTimeout(async () => {
        if (mine !== asked) return;
        const answer = await reader.call("look_up", { query });
        if (mine !== asked || answer.refused) return;
        hits = answer.hits;
        draw(answer.count);
      }, 160);
    }

    let told = null;
    function label() {
      field.placeholder = t("reader.find");
      field.setAttribute("aria-label", t("reader.find"));
      draw(told);
    }

    function draw(total) {
      told = total;
      count.textContent = total === null ? "" : total ? t("shelf.find_count", { n: total }) : t("reader.find_none");
      list.replaceChildren(...hits.map((hit, n) => h("button", { type: "button", class: "hit", onclick: () => { at = n - 1; step(1); reader.leavePane(); } },
        h("span", { class: "hit-place" }, h("span", {}, where(reader.book, hit.start))),
        h("span", { class: "hit-text" }, hit.before, h("mark", {}, hit.match), hit.after))));
    }

    return {
      name: "look_up",
      element: h("div", { class: "pane-body" }, h("div", { class: "pane-tools" }, field), count, list),
      relabel: label,
      show() { label(); requestAnimationFrame(() => field.select()); },
      clear() { field.value = ""; asked += 1; hits = []; draw(null); },
    };
  };

  Lectern.notesPane = (reader) => {
    let editing = null, undone = null;
    const list = h("ul", { class: "notes-list" });
    const tools = h("div", { class: "pane-tools" });
    const back = h("div", { class: "undo", role: "status", hidden: true });

    async function save(act, given) {
      const answer = await reader.call("note", { act, ...given });
      if (answer.refused) return;
      reader.took(answer.notes);
      return answer.id;
    }

    function row({ note, edit }) {
      const place = where(reader.book, note.start);
      const field = edit && h("textarea", { class: "note-field", rows: "3", maxlength: "20000", value: note.note, aria: { label: t("reader.note") }, data: { focus: "field" },
        onkeydown: (event) => {
          if (event.key === "Escape") { event.stopPropagation(); editing = null; draw(); }
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done();
        } });
      const done = () => { editing = null; save("edit", { id: note.id, note: field.value }); };
      return h("li", { class: `noted ${note.colour}` },
        h("button", { type: "button", class: "noted-quote", data: { focus: "jump" }, onclick: () => reader.go(note.start, { end: note.end, leave: true, away: 0.3 }) },
          place && h("span", { class: "fine" }, place), h("q", {}, note.quote.length > 220 ? note.quote.slice(0, 220) + "…" : note.quote)),
        note.lost && h("p", { class: "fine caution" }, t("reader.lost")),
        edit ? h("div", { class: "note-edit" }, field,
          h("span", { class: "note-actions" }, colours(note.colour, (colour) => save("edit", { id: note.id, colour }), note.id),
            button(null, t("reader.save"), done, { text: t("reader.save"), class: "button primary small", data: { focus: "save" } })))
          : note.note && h("p", { class: "noted-words" }, note.note),
        !edit && h("span", { class: "note-actions" },
          button("pen", t("reader.edit"), () => edit_note(note.id), { data: { focus: "pen" } }),
          button("trash", t("reader.remove"), () => { undone = note; save("remove", { id: note.id }); }, { data: { focus: "trash" } })));
    }

    // five drops of colour, of which one is on
    function colours(current, choose, name) {
      return h("span", { class: "colours", role: "radiogroup", aria: { label: t("reader.colour") } }, reader.book.colours.map((colour) =>
        h("button", { type: "button", class: `colour ${colour}`, role: "radio", title: t("reader.colour." + colour), data: { focus: colour }, aria: { checked: String(colour === current), label: t("reader.colour." + colour) }, onclick: () => choose(colour) })));
    }

    async function bring(format) {
      const file = await reader.call("export_notes", { format });
      if (!file.refused) Lectern.download(file);
    }

    function draw() {
      const notes = reader.book?.notes || [];
      if (undone && notes.some((one) => one.id === undone.id)) undone = null;
      back.hidden = undone === null;
      if (undone) {
        const gone = undone;
        back.replaceChildren(h("span", {}, t("reader.removed")), button(null, t("shelf.undo"), () => { undone = null; save("restore", { id: gone.id }); }, { text: t("shelf.undo") }));
      }
      tools.hidden = !notes.length;
      tools.replaceChildren(h("span", { class: "fine" }, t("reader.notes_count", { n: notes.length })),
        button("download", t("reader.export_md"), () => bring("md"), { text: t("reader.export_md") }),
        button(null, t("reader.export_docx"), () => bring("docx"), { text: t("reader.export_docx") }),
        button(null, t("reader.export_anki"), () => bring("anki"), { text: t("reader.export_anki") }));
      keyed(list, notes.length ? notes.map((note) => [note.id, { note, edit: editing === note.id }]) : [["none", null]], (data) => (data ? row(data) : h("li", { class: "hint" }, t("reader.no_notes"))));
    }

    function edit_note(id) {
      editing = id;
      draw();
      requestAnimationFrame(() => { const field = list.querySelector(".note-field"); field?.focus(); field?.closest("li").scrollIntoView({ block: "nearest" }); });
    }

    return {
      name: "notes",
      element: h("div", { class: "pane-body" }, tools, back, list),
      show() { draw(); if (editing === null) requestAnimationFrame(() => (list.querySelector("button") || list).focus?.()); },
      draw, save, relabel: draw, edit: edit_note,
      clear() { editing = undone = null; },
    };
  };
})();
