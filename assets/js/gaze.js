// where an answer looked: a strip along each book, the pages looked at most, the places of each sentence; and the
// passages of a re-reading. A place opens in the reader.
(() => {
  const { h, t, button, icon } = Lectern;
  const SHOWN = 5;
  const opens = () => Boolean(Lectern.reader?.open);
  const open = (place) => Lectern.reader?.open(place.document, { start: place.start, end: place.end });

  // [what it is called, where in that]: the first may be cut short, the second tells one place from the next
  function called(place, several) {
    const said = several && place.title ? [t("title", { title: place.title })] : [];
    if (place.chapter) said.push(place.chapter);
    const length = (Lectern.shelf || []).find((item) => item.id === place.document)?.characters;
    // several places of a long chapter
    const at = place.page ? t("quote.page", { n: place.page }) : length ? t("gaze.place", { n: Math.round((100 * place.start) / length) }) : "";
    return said.length || at ? [said.join(" · "), at] : [place.title, ""];
  }
  const where = (place, several) => called(place, several).filter(Boolean).join(" · ");

  // ---- the strip: one bar a book, darker where it was looked at more
  function strip(book, onpick) {
    const cells = h("span", { class: "gaze-cells" });
    const marks = h("span", { class: "gaze-marks" });
    const bar = h(opens() ? "button" : "span", { type: opens() ? "button" : null, class: "gaze-bar", title: t("gaze.strip_open", { title: book.title }), aria: { label: t("gaze.strip", { title: book.title }) },
      onclick: (event) => {
        const box = bar.getBoundingClientRect();
        const share = event.clientX ? Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) : 0;
        onpick?.(Math.round(share * book.characters));
      } }, cells, marks);
    return {
      book, bar,
      heat(values) {
        cells.replaceChildren(...values.flatMap((value, index) => (value < 3 ? [] : [h("span", { style: { left: (100 * index) / values.length + "%", width: 100 / values.length + "%", opacity: String(0.18 + 0.82 * value / 99) } })])));
      },
      mark(places) {
        marks.replaceChildren(...places.filter((place) => place.document === book.document).map((place) => h("span", { style: { left: (100 * place.start) / book.characters + "%", width: `max(3px, ${(100 * (place.end - place.start)) / book.characters}%)` } })));
      },
    };
  }

  function strips(books, several) {
    const made = books.map((book) => strip(book, (at) => open({ document: book.document, start: at, end: at + 1 })));
    const root = h("div", { class: "gaze-strips" }, made.map((one) => h("div", { class: "gaze-strip" },
      several && h("span", { class: "gaze-title", title: one.book.title }, one.book.title), one.bar)));
    return { root, heat: () => made.forEach((one) => one.heat(one.book.cells || [])), mark: (places) => made.forEach((one) => one.mark(places)), made };
  }

  function place(one, several, lead) {
    const [name, at] = called(one, several);
    const inner = [lead, name && h("span", { class: "gaze-where", title: name }, name), at && h("span", { class: "gaze-at" }, at)];
    return opens() ? h("button", { type: "button", class: "gaze-place", title: t("gaze.open"), onclick: () => open(one) }, inner) : h("span", { class: "gaze-place" }, inner);
  }

  // ---- a sentence of the answer under the pointer, by its words
  function finder(answer, sentences) {
    const walker = () => document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
    const plain = (text) => text.replace(/[\s*_`#>\\\[\]()-]+/g, "");
    const spots = []; // [node, offset] of every character that counts
    let text = "";
    for (const walk = walker(); walk.nextNode();) {
      const node = walk.currentNode;
      for (let at = 0; at < node.data.length; at++) {
        if (!plain(node.data[at])) continue;
        text += node.data[at];
        spots.push([node, at]);
      }
    }
    let from = 0;
    const found = [];
    sentences.forEach((sentence, index) => {
      const said = plain(sentence.text);
      const at = said ? text.indexOf(said, from) : -1;
      if (at < 0) return;
      from = at + said.length;
      const range = document.createRange();
      range.setStart(...spots[at]);
      range.setEnd(spots[from - 1][0], spots[from - 1][1] + 1);
      found.push({ index, range });
    });
    return found;
  }

  function at(ranges, x, y) {
    return ranges.find(({ range }) => [...range.getClientRects()].some((box) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom));
  }

  // reading, gaze: as they are kept with the turn; answer: the element of its text
  Lectern.gaze = (reading, gaze, answer) => {
    const passages = reading?.passages || [];
    if (!reading && !gaze) return null;
    const books = gaze?.strips || [];
    const several = books.length > 1 || new Set(passages.map((one) => one.document)).size > 1;
    const head = h("p", { class: "gaze-mode" },
      reading && h("span", { class: "chip" }, t(`mode.used.${reading.mode}`)),
      reading && reading.asked === "auto" && h("span", {}, t("mode.chosen")),
      reading?.quick && h("span", {}, t("quick.used")),
      passages.length > 0 && h("span", {}, t("mode.passages", { n: passages.length })),
      gaze && !gaze.measured && h("span", { title: t("gaze.unmeasured_more") }, t("gaze.unmeasured")));
    const parts = [head];
    // before the sentences are looked for: it changes the text's nodes
    if (answer && passages.length) cite(answer, passages);
    if (books.length) {
      const drawn = strips(books, several);
      drawn.heat();
      const heading = h("div", { class: "gaze-head" }, h("p", { class: "gaze-heading" }, t("gaze.title")));
      parts.push(heading, drawn.root);
      const sentences = gaze.sentences || [];
      const ranges = answer ? finder(answer, sentences) : [];
      let now = -1;
      const said = h("span", { class: "gaze-said", role: "status" });
      const show = (index) => {
        now = index >= 0 && index < sentences.length ? index : -1;
        drawn.mark(now < 0 ? [] : sentences[now].places);
        drawn.root.classList.toggle("one", now >= 0);
        said.textContent = now < 0 ? t("gaze.all") : t("gaze.sentence", { n: now + 1, total: sentences.length });
        if (!window.CSS?.highlights || !window.Highlight) return;
        const range = ranges.find((one) => one.index === now)?.range;
        if (range) CSS.highlights.set("lectern-gaze", new Highlight(range));
        else CSS.highlights.delete("lectern-gaze");
      };
      if (sentences.length > 1) {
        heading.append(h("p", { class: "gaze-steps", role: "group", aria: { label: t("gaze.by_sentence") } },
          button("back", t("gaze.before"), () => show(now < 0 ? sentences.length - 1 : now - 1), { data: { focus: "gaze-before" } }), said,
          button("forth", t("gaze.after"), () => show(now + 1 >= sentences.length ? -1 : now + 1), { data: { focus: "gaze-after" } })));
        answer?.addEventListener("pointermove", (event) => {
          if (event.pointerType === "touch") return;
          const hit = at(ranges, event.clientX, event.clientY);
          if ((hit?.index ?? -1) !== now) show(hit?.index ?? -1);
        });
        answer?.addEventListener("pointerleave", () => show(-1));
      }
      show(-1);
    }
    if (passages.length) {
      parts.push(h("p", { class: "gaze-heading" }, t("gaze.passages")), h("ol", { class: "gaze-places passages" }, passages.map((one) => h("li", { data: { passage: one.number } },
        place(one, several, h("span", { class: "gaze-number" }, `[${one.number}]`))))));
    } else if (gaze?.places?.length) {
      // places that are called the same are one to a reader; it opens where most was looked at
      const named = new Map();
      for (const one of gaze.places) {
        const name = where(one, several), before = named.get(name);
        named.set(name, before ? { ...before, weight: before.weight + one.weight } : one);
      }
      const shown = [...named.values()].sort((a, b) => b.weight - a.weight).slice(0, SHOWN);
      parts.push(h("ol", { class: "gaze-places" }, shown.map((one) => h("li", {},
        place(one, several, h("span", { class: "gaze-weight", aria: { hidden: true } }, h("span", { style: { width: 100 * one.weight / shown[0].weight + "%" } })))))));
    }
    return h("section", { class: "gaze", aria: { label: t("gaze.title") } }, parts);
  };

  // [2] in an answer opens its passage
  function cite(answer, passages) {
    const nodes = [];
    for (const walk = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT); walk.nextNode();) if (!walk.currentNode.parentElement.closest("code, a, button")) nodes.push(walk.currentNode);
    for (const node of nodes) {
      const pieces = node.data.split(/(\[\d{1,2}\])/);
      if (pieces.length < 2) continue;
      node.replaceWith(...pieces.map((piece) => {
        const one = /^\[\d+\]$/.test(piece) && passages.find((each) => `[${each.number}]` === piece);
        if (!one || !opens()) return document.createTextNode(piece);
        return h("button", { type: "button", class: "cite", title: where(one, true), aria: { label: t("gaze.cite", { n: one.number, place: where(one, true) }) }, onclick: () => open(one) }, piece);
      }));
    }
  }

  Lectern.cite = cite;

  // ---- while it is written: heat that fades
  Lectern.liveGaze = () => {
    const root = h("div", { class: "gaze live-gaze" });
    let drawn = null, key = "", last = null;
    return {
      root,
      show(value) {
        const gaze = value.gaze;
        root.classList.toggle("shown", Boolean(gaze));
        if (!gaze) { root.replaceChildren(); key = ""; last = null; return; }
        const now = JSON.stringify(gaze.strips.map((book) => book.document)) + Lectern.language();
        if (now !== key) {
          key = now;
          drawn = strips(gaze.strips.map((book) => ({ ...book, cells: new Array(160).fill(0) })), gaze.strips.length > 1);
          root.replaceChildren(h("p", { class: "gaze-heading" }, t("gaze.now")), drawn.root);
        }
        if (gaze === last || JSON.stringify(gaze.places) === last) return;
        last = JSON.stringify(gaze.places);
        for (const { book } of drawn.made) {
          book.cells = book.cells.map((cell) => cell * 0.82);
          for (const one of gaze.places) if (one.document === book.document) {
            const cell = Math.min(159, Math.floor((160 * (one.start + one.end)) / (2 * book.characters)));
            book.cells[cell] = Math.min(99, book.cells[cell] + 99 * one.weight);
          }
        }
        drawn.heat();
        drawn.mark(gaze.places.slice(0, 3));
      },
    };
  };
})();
