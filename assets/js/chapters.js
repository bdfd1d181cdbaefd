// a book's own page: what it is, and its chapters, each to be renamed, read or left out, or taken from the list
(() => {
  const { h, t, icon, button, seat } = Lectern;
  const KINDS = ["front", "body", "back"];

  Lectern.panel("book", (root, send, gradio) => {
    let book = null, rows = [], touched = new Set(), asked = 0, busy = false;
    const body = h("div", { class: "book-body" });
    const heading = h("h2", { id: "book-heading" });
    const box = h("dialog", { class: "book-dialog", aria: { labelledby: "book-heading" }, onclick: (event) => { if (event.target === box) box.close(); } },
      h("form", { class: "book-form", method: "dialog", onsubmit: (event) => { event.preventDefault(); save(); } }, h("header", { class: "book-head" }, heading), body));
    root.append(box);

    async function call(name, said) {
      try {
        await Lectern.arrived;
        const answer = await gradio.server[name]({ visitor: seat.visitor, id: book.id, ...said });
        if (answer?.note) Lectern.say("notes", "show", answer.note);
        return answer || {};
      } catch (error) {
        console.warn("lectern: the book was not answered", error);
        Lectern.say("notes", "show", { kind: "error", key: "note.unsent_book" });
        return {};
      }
    }

    async function open(id) {
      const mine = ++asked;
      book = { id };
      const found = await call("look", {});
      if (mine !== asked || !found.chapters) return;
      book = found;
      rows = found.chapters.map((row) => ({ ...row }));
      touched = new Set();
      draw();
      if (!box.open) box.showModal();
      body.scrollTop = 0;
    }

    async function save() {
      if (busy) return;
      const said = {};
      for (const name of touched) {
        if (name === "chapters") said.chapters = rows.map(({ title, level, start, kind, included }) => ({ title, level, start, kind, included }));
        else said[name] = name === "year" ? parseInt(field("year").value, 10) : field(name).value;
      }
      busy = true;
      drawFoot();
      const answer = await call("save", said);
      busy = false;
      if (answer.saved) { box.close(); send("changed"); } else drawFoot();
    }

    async function asFound() {
      busy = true;
      drawFoot();
      const answer = await call("save", { chapters: null });
      busy = false;
      if (answer.saved) { send("changed"); open(book.id); }
    }

    async function add() {
      const wanted = body.querySelector(".book-begin").value.trim();
      if (!wanted) return;
      const found = await call("place", { text: wanted });
      if (found.start === undefined) return;
      rows.push({ title: found.text.split("\n")[0], level: 1, start: found.start, kind: "body", included: true, page: found.page, share: found.share });
      rows.sort((a, b) => a.start - b.start);
      touch("chapters");
      drawRows();
      body.querySelector(`[data-start="${found.start}"] input[type="text"]`)?.focus();
    }

    const field = (name) => body.querySelector(`[data-field="${name}"]`);
    function touch(name) { touched.add(name); drawFoot(); }

    function input(name, value, more = {}) {
      const id = `book-${name}`;
      return h("label", { class: `book-field ${name}`, for: id }, h("span", {}, t("book." + name)),
        h("input", { id, type: "text", value: value ?? "", maxlength: 500, data: { field: name }, oninput: () => touch(name), ...more }));
    }

    function row(one, place) {
      const where = one.page ? t("shelf.find_page", { n: one.page }) : Lectern.number(one.share, { style: "percent" });
      return h("li", { class: `book-row${one.included ? "" : " out"}`, data: { start: one.start } },
        h("input", { type: "checkbox", checked: one.included, aria: { label: t("book.read_this", { title: one.title }) },
          onchange: (event) => { one.included = event.target.checked; event.target.closest("li").classList.toggle("out", !one.included); touch("chapters"); drawCount(); } }),
        h("input", { type: "text", class: "book-title", value: one.title, maxlength: 300, style: { "margin-inline-start": `${Math.min(one.level - 1, 6) * 14}px` }, aria: { label: t("book.chapter_title") },
          oninput: (event) => { one.title = event.target.value; touch("chapters"); } }),
        h("span", { class: "fine book-where" }, where),
        h("select", { class: "order-box", aria: { label: t("book.kind") }, onchange: (event) => { one.kind = event.target.value; one.included = one.kind === "body"; touch("chapters"); drawRows(); } },
          KINDS.map((kind) => h("option", { value: kind, selected: kind === one.kind }, t("book.kind." + kind)))),
        button("close", t("book.drop", { title: one.title }), () => { rows.splice(rows.indexOf(one), 1); touch("chapters"); drawRows(); }, { class: "button quiet bare", disabled: rows.length < 2 }));
    }

    function drawCount() {
      const out = rows.filter((one) => !one.included).length;
      body.querySelector(".book-count").textContent = [t("book.chapters", { n: rows.length }), out && t("book.left_out", { n: out })].filter(Boolean).join(t("list.separator"));
    }
    function drawRows() {
      body.querySelector(".book-rows").replaceChildren(...rows.map(row));
      drawCount();
    }
    function drawFoot() {
      body.querySelector(".book-foot").replaceChildren(
        book.corrected ? button("again", t("book.as_found"), asFound, { text: t("book.as_found"), disabled: busy }) : h("span", {}),
        h("span", { class: "confirm-actions" }, button(null, t("book.cancel"), () => box.close(), { text: t("book.cancel") }),
          h("button", { type: "submit", class: "button primary", disabled: busy || !touched.size }, t("book.save"))));
    }

    function draw() {
      heading.replaceChildren(h("span", {}, book.title || book.filename), button("close", t("book.close"), () => box.close()));
      const facts = [book.format, book.pages && t("book.pages", { n: book.pages }), book.words !== null && t("book.words", { n: book.words }),
        t("book.characters", { n: book.characters }), book.tokens !== null && t("shelf.tokens", { size: Lectern.tokens(book.tokens), n: book.tokens })];
      body.replaceChildren(
        h("p", { class: "fine book-facts" }, facts.filter(Boolean).join(" · ")),
        h("div", { class: "book-fields" }, input("title", book.title), input("authors", book.authors, { placeholder: t("book.authors_hint") }),
          input("year", book.year, { inputmode: "numeric", maxlength: 4 }), input("language", book.language, { placeholder: "en, zh, ja", maxlength: 12 }),
          input("identifiers", book.identifiers, { placeholder: "isbn:…, doi:…" }),
          input("tags", book.tags, { placeholder: t("book.tags_hint"), list: "book-collections" }),
          h("datalist", { id: "book-collections" }, book.collections.map((name) => h("option", { value: name }))),
          book.encodings.length > 0 && h("label", { class: "book-field encoding", for: "book-encoding" }, h("span", {}, t("book.encoding")),
            h("select", { id: "book-encoding", class: "order-box", data: { field: "encoding" }, onchange: (event) => { if (event.target.value) touch("encoding"); else { touched.delete("encoding"); drawFoot(); } } },
              h("option", { value: "" }, t("book.encoding_kept")), book.encodings.map((name) => h("option", { value: name }, name))))),
        h("div", { class: "book-chapters" }, h("h3", {}, t("book.chapters_heading")), h("span", { class: "fine book-count" })),
        h("p", { class: "fine" }, t("book.chapters_text")),
        h("ol", { class: "book-rows" }),
        h("div", { class: "book-add" }, h("input", { type: "text", class: "book-begin", maxlength: 300, placeholder: t("book.add_hint"), aria: { label: t("book.add_hint") },
          onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); add(); } } }), button("plus", t("book.add"), add, { text: t("book.add") })),
        h("footer", { class: "book-foot" }));
      drawRows();
      drawFoot();
    }

    return { open, relabel: () => { if (book?.chapters) draw(); }, update() {} };
  });
})();
