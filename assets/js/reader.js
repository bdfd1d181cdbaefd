// the reader: a book beside the conversation. Lectern.reader.open(document, {start, end}) opens it anywhere.
(() => {
  const { h, t, icon, button, seat, store } = Lectern;
  const narrow = window.matchMedia("(max-width: 1199px)");
  const SIZES = [14, 15, 16, 17, 18, 20, 22, 25, 28, 32];
  const WIDTHS = ["narrow", "medium", "wide"];
  const TONES = ["page", "light", "sepia", "dark"];

  Lectern.panel("reader", (root, send, gradio) => {
    let book = null, opening = 0, opener = null, pane = null, kept = null;
    let found = null; // the words that were looked for, lit until the next click
    let chosen = null; // the passage selected: {start, end, text}
    const look = { size: 17, width: "medium", face: "serif", tone: "page", ...store.read("localStorage", "reader") };
    const modes = store.read("localStorage", "reader.modes") || {}; // by document: vertical, text instead of pages

    const call = async (name, said = {}, quiet = false) => {
      const about = { document: book?.document, ...said }; // before anything is waited for: the book may be closed
      let answer;
      try {
        await Lectern.arrived;
        answer = await gradio.server[name]({ visitor: seat.visitor, ...about });
      } catch (error) {
        console.warn("lectern: the reader was not answered", error);
        answer = { refused: true, note: { kind: "error", key: "note.reader" } };
      }
      if (!answer) answer = { refused: true, note: { kind: "error", key: "note.reader" } };
      if (answer.note && !quiet) Lectern.say("notes", "show", answer.note);
      return answer;
    };

    // ---- elements
    const title = h("h2", { class: "reader-title", id: "reader-title", tabindex: "-1" });
    const place = h("span", { class: "reader-chapter" });
    const bar = h("header", { class: "reader-bar" });
    const flowBox = h("div", { class: "reader-flow" });
    const scroller = h("div", { class: "reader-scroll", tabindex: "0", role: "document" }, flowBox);
    const paneBox = h("aside", { class: "reader-pane", hidden: true });
    const typeBox = h("div", { class: "reader-type", hidden: true, role: "dialog" });
    const menu = h("div", { class: "reader-menu", hidden: true, role: "toolbar" });
    const slider = h("input", { type: "range", class: "reader-slider", min: "0", max: "1000", step: "1",
      oninput: () => { share.textContent = percent(Number(slider.value) / 1000); }, onchange: () => { if (book) go(Math.floor((Number(slider.value) / 1000) * Math.max(0, book.characters - 1)), { away: 0 }); } });
    const share = h("span", { class: "reader-share" });
    const guardBox = h("div", { class: "reader-guard" });
    const foot = h("footer", { class: "reader-foot" });
    root.setAttribute("role", "region");
    root.setAttribute("aria-labelledby", "reader-title");
    root.append(bar, h("div", { class: "reader-body" }, scroller, paneBox, typeBox), guardBox, foot, menu);

    const flow = Lectern.flow(scroller, flowBox, settled);
    const reader = { get book() { return book; }, call, go, position: () => flow.position() ?? 0, leavePane, found: (words) => { found = words; marks(); },
      took(notes) { if (book) { book.notes = notes; marks(); if (pane) pane.draw?.(); } } };
    const panes = { contents: Lectern.contentsPane(reader), look_up: Lectern.lookupPane(reader), notes: Lectern.notesPane(reader) };

    const percent = (part) => Lectern.number(part, { style: "percent", maximumFractionDigits: part > 0 && part < 0.1 ? 1 : 0 });
    const shows = () => (book?.paged && !modes[book.document]?.text ? "pages" : "text");
    const vertical = () => Boolean(book) && shows() === "text" && (modes[book.document]?.vertical ?? book.vertical);

    // ---- opening
    async function open(document_, { start = null, end = null, quiet = false } = {}) {
      const mine = ++opening;
      if (!root.classList.contains("open")) opener = document.activeElement;
      document.body.classList.add("reader-open");
      root.classList.add("open");
      Lectern.say("bar", "hideShelf");
      cover();
      if (book?.document !== document_) {
        keepNow();
        closePane();
        book = null;
        flow.close();
        root.classList.add("loading");
        const next = await call("open_book", { document: document_ }, quiet);
        if (mine !== opening) return;
        if (next.refused) { close(); return; }
        book = next;
        store.write("sessionStorage", "reading", book.document);
        found = null;
        for (const one of Object.values(panes)) one.clear?.();
        relabel();
        dress();
        if (end !== null) found = { start, end };
        marksOnly();
        await flow.show(source(), start ?? book.position, start === null ? { away: 0 } : { end: end ?? start + 1, away: 0.25 });
      } else if (start !== null) await go(start, { end: end ?? start + 1, found: end !== null, away: 0.25 });
      if (mine !== opening) return;
      root.classList.remove("loading");
      drawGuard();
      settled();
      if (!quiet) scroller.focus({ preventScroll: true });
    }
    // a reload finds the book open, where there is room beside the conversation
    Lectern.arrived.then(() => { const last = store.read("sessionStorage", "reading"); if (last && !narrow.matches && !book) open(last, { quiet: true }); });

    function source() {
      const { document: id } = book;
      if (shows() === "pages") {
        return Lectern.pageSource(book, async (numbers) => {
          const width = Math.ceil(flowBox.clientWidth * Math.min(2, window.devicePixelRatio || 1));
          const { pages = {} } = await call("pages", { document: id, numbers: numbers.map((one) => one + 1), width });
          return Object.fromEntries(Object.entries(pages).map(([number, view]) => [number - 1, view]));
        });
      }
      return Lectern.textSource(book, async (numbers) => (await call("sections", { document: id, numbers })).sections || {});
    }

    // what the reader covers is not reached by keys
    const phone = window.matchMedia("(max-width: 820px)");
    function cover() {
      const open_ = root.classList.contains("open");
      for (const [id, covered] of [["lectern-main", narrow.matches], ["lectern-side", phone.matches]]) { const element = document.getElementById(id); if (element) element.inert = open_ && covered; }
    }
    for (const query of [narrow, phone]) query.addEventListener("change", cover);

    function close() {
      if (!root.classList.contains("open")) return;
      opening += 1;
      keepNow();
      closePane();
      hideMenu();
      typeBox.hidden = true;
      root.classList.remove("open", "loading");
      document.body.classList.remove("reader-open");
      cover();
      flow.close();
      book = null;
      store.write("sessionStorage", "reading", null);
      if (opener?.isConnected) opener.focus();
    }

    async function go(offset, { found: light = false, leave = false, end = offset + 1, away = 0.12 } = {}) {
      if (!book) return;
      if (light) found = { start: offset, end };
      if (leave) leavePane();
      await flow.go(offset, { end, away });
      marks();
    }

    // where one is: shown at once, kept a moment later
    function settled() {
      if (!book) return;
      const at = flow.position();
      if (at === null) return;
      const chapter = Lectern.chapterAt(book, at);
      place.textContent = chapter?.title || "";
      const part = book.characters > 1 ? at / (book.characters - 1) : 0;
      slider.value = String(Math.round(part * 1000));
      slider.setAttribute("aria-valuetext", [percent(part), chapter?.title].filter(Boolean).join(", "));
      share.textContent = [shows() === "pages" ? t("reader.page_of", { n: Lectern.pageAt(book, at), of: book.pages.length }) : null, percent(part)].filter(Boolean).join(" · ");
      if (at !== book.position) { book.position = at; clearTimeout(kept); kept = setTimeout(keepNow, 1500); }
    }
    function keepNow() {
      if (kept === null || !book) return;
      clearTimeout(kept);
      kept = null;
      call("keep_place", { position: book.position });
    }
    window.addEventListener("pagehide", keepNow);

    // ---- marks: highlights, and the words that were looked for
    function marksOnly() {
      const all = book.notes.filter((note) => !note.lost).map((note) => ({ start: note.start, end: note.end, kind: `noted ${note.colour}${note.note ? " written" : ""}`, id: note.id }));
      if (found) all.push({ ...found, kind: "found" });
      flow.mark(all, book.upto);
    }
    function marks() { if (book) marksOnly(); }

    // ---- the bar and the foot
    function tool(name, label, act, extra = {}) { return button(name, label, act, { title: label, ...extra }); }
    function relabel() {
      if (!book) return;
      title.textContent = book.title;
      scroller.setAttribute("aria-label", book.title);
      scroller.lang = book.language || "";
      const toggles = (name, glyph, label) => tool(glyph, label, () => (pane === panes[name] ? leavePane() : showPane(name)), { aria: { label, expanded: String(pane === panes[name]) }, data: { pane: name } });
      bar.replaceChildren(tool("close", t("reader.close"), close), h("div", { class: "reader-heading" }, title, place),
        toggles("contents", "list", t("reader.contents")), toggles("look_up", "search", t("reader.find")), toggles("notes", "note", t("reader.notes")),
        tool("type", t("reader.type"), toggleType, { aria: { label: t("reader.type"), expanded: String(!typeBox.hidden) } }));
      slider.setAttribute("aria-label", t("reader.place"));
      foot.replaceChildren(tool("left", t("reader.back"), () => flow.page(-1)), slider, tool("right", t("reader.forth"), () => flow.page(1)), share,
        h("button", { type: "button", class: "button quiet guard-set", title: t("reader.guard_why"), onclick: () => setGuard(flow.bottom()) }, icon("eyeoff"), h("span", {}, t("reader.guard"))));
      drawGuard();
      drawMenu();
      if (!typeBox.hidden) drawType();
      if (pane) paneHead.draw(pane);
      settled();
    }

    // ---- the spoiler guard
    async function setGuard(offset) {
      const answer = await call("guard", { offset });
      if (answer.refused || !book) return;
      book.upto = answer.upto;
      marks();
      drawGuard();
      send("guarded");
    }
    function drawGuard() {
      guardBox.hidden = !book || book.upto === null;
      if (guardBox.hidden) { guardBox.replaceChildren(); return; }
      guardBox.replaceChildren(icon("eyeoff"), h("span", {}, Lectern.guardText(book.upto / book.characters, Lectern.chapterAt(book, book.upto - 1)?.title)),
        button(null, t("reader.guard_show"), () => go(book.upto, { away: 0.5 }), { text: t("reader.guard_show") }),
        button(null, t("reader.guard_off"), () => setGuard(null), { text: t("reader.guard_off") }));
    }

    // ---- panes
    const paneHead = Lectern.paneHead(paneBox, () => leavePane());
    function showPane(name) {
      pane = panes[name];
      typeBox.hidden = true;
      hideMenu();
      paneBox.hidden = false;
      paneBox.replaceChildren(paneHead.element, pane.element);
      relabel();
      pane.show();
    }
    function closePane() { pane = null; paneBox.hidden = true; if (found && book) { found = null; marks(); } }
    function leavePane() {
      const name = pane?.name;
      // where it lies over the text, a jump closes it
      const over = root.clientWidth < 700;
      if (name && !over && paneBox.contains(document.activeElement) && document.activeElement.matches(".contents-entry, .noted-quote, .hit")) return;
      pane = null;
      paneBox.hidden = true;
      relabel();
      if (name) (bar.querySelector(`[data-pane="${name}"]`) || scroller).focus();
    }

    // ---- type
    function dress() {
      root.dataset.tone = look.tone;
      root.dataset.face = look.face;
      root.dataset.width = look.width;
      root.style.setProperty("--read-size", look.size + "px");
      flowBox.classList.toggle("vertical", vertical());
      flowBox.classList.toggle("pages", Boolean(book) && shows() === "pages");
      scroller.classList.toggle("sideways", vertical());
      const language = (book?.language || "").split("-")[0];
      flowBox.classList.toggle("wide-script", ["zh", "ja", "ko"].includes(language));
    }
    function change(what) {
      Object.assign(look, what);
      store.write("localStorage", "reader", look);
      flow.again(dress);
      drawType();
    }
    async function mode(what) {
      const at = flow.position() ?? book.position;
      modes[book.document] = { ...modes[book.document], ...what };
      store.write("localStorage", "reader.modes", modes);
      dress();
      drawType();
      marksOnly();
      await flow.show(source(), at);
    }
    const options = (label, names, current, choose, key) => h("div", { class: "type-row", role: "radiogroup", aria: { label } }, h("span", { class: "type-name" }, label),
      h("span", { class: "type-choice" }, names.map((name) => h("button", { type: "button", role: "radio", class: `type-option ${name}`, aria: { checked: String(name === current) }, data: { focus: name }, onclick: () => choose(name) }, t(key + name)))));
    function drawType() {
      const held = document.activeElement?.dataset?.focus;
      typeBox.setAttribute("aria-label", t("reader.type"));
      const size = SIZES.indexOf(look.size);
      const step = (by) => change({ size: SIZES[Math.min(SIZES.length - 1, Math.max(0, size + by))] });
      typeBox.replaceChildren(
        h("div", { class: "type-row" }, h("span", { class: "type-name" }, t("reader.size")), h("span", { class: "type-choice" },
          button("minus", t("reader.smaller"), () => step(-1), { data: { focus: "smaller" } }), h("span", { class: "type-size", role: "status" }, Lectern.number(look.size)), button("plus", t("reader.larger"), () => step(1), { data: { focus: "larger" } }))),
        options(t("reader.face"), ["serif", "sans"], look.face, (face) => change({ face }), "reader.face."),
        options(t("reader.width"), WIDTHS, look.width, (width) => change({ width }), "reader.width."),
        options(t("reader.tone"), TONES, look.tone, (tone) => change({ tone }), "reader.tone."),
        ...(book && (book.vertical || ["zh", "ja"].includes((book.language || "").split("-")[0])) && shows() === "text"
          ? [options(t("reader.lines"), ["across", "down"], vertical() ? "down" : "across", (one) => mode({ vertical: one === "down" }), "reader.lines.")] : []),
        ...(book?.paged ? [options(t("reader.show"), ["pages", "text"], shows(), (one) => mode({ text: one === "text" }), "reader.show.")] : []));
      if (held) typeBox.querySelector(`[data-focus="${held}"]`)?.focus();
    }
    function toggleType() {
      const show = typeBox.hidden;
      if (show) { pane = null; paneBox.hidden = true; }
      typeBox.hidden = !show;
      relabel();
      if (show) { drawType(); typeBox.querySelector("button")?.focus(); } else bar.lastElementChild.focus();
    }

    // ---- a passage is selected
    function read_selection() {
      const selection = getSelection();
      if (!book || !selection.rangeCount || selection.isCollapsed || !flowBox.contains(selection.anchorNode) || !flowBox.contains(selection.focusNode)) return null;
      const range = selection.getRangeAt(0);
      const start = flow.offsetOf(range.startContainer, range.startOffset), last = flow.offsetOf(range.endContainer, range.endOffset);
      const end = last === null ? null : flow.endBefore(last);
      const text = selection.toString().trim();
      return start === null || end === null || end <= start || !text ? null : { start, end, text, rect: range.getBoundingClientRect() };
    }
    let pause = null;
    document.addEventListener("selectionchange", () => {
      if (!book) return;
      clearTimeout(pause);
      pause = setTimeout(() => { const next = read_selection(); if (next) showMenu(next); else if (!menu.contains(document.activeElement)) hideMenu(); }, 180);
    });
    function showMenu(next) {
      chosen = next;
      menu.hidden = false;
      const box = root.getBoundingClientRect(), wide = menu.offsetWidth, high = menu.offsetHeight;
      const over = next.rect.top - box.top - high - 10;
      const below = next.rect.bottom - box.top + 10;
      // a selection may reach beyond what is seen
      const top = over > 56 ? over : below;
      menu.style.top = `${Math.max(56, Math.min(top, box.height - high - 12))}px`;
      menu.style.left = `${Math.max(8, Math.min(next.rect.left - box.left + next.rect.width / 2 - wide / 2, box.width - wide - 8))}px`;
    }
    function hideMenu() { menu.hidden = true; chosen = null; }
    function drawMenu() {
      menu.setAttribute("aria-label", t("reader.passage"));
      const act = (glyph, key, run) => button(glyph, t(key), () => { const passage = chosen; hideMenu(); getSelection().removeAllRanges(); if (passage) run(passage); }, { text: t(key), class: "button quiet" });
      menu.replaceChildren(
        h("div", { class: "menu-row" },
          act("chat", "reader.ask", (passage) => quote(passage, null)), act("bulb", "reader.explain", (passage) => quote(passage, "reader.explain_question")), act("tongue", "reader.translate", (passage) => quote(passage, "reader.translate_question")),
          act("pen", "reader.style", ({ start, end, text }) => Lectern.say("writing", "style", { document: book.document, start, end, text }))),
        h("div", { class: "menu-row" },
          h("span", { class: "colours" }, book.colours.map((colour) => h("button", { type: "button", class: `colour ${colour}`, title: t("reader.colour." + colour), aria: { label: t("reader.highlight", { colour: t("reader.colour." + colour) }) }, onclick: () => mark(colour) }))),
          act("note", "reader.note", (passage) => note(passage)), act("copy", "reader.copy", copy),
          act("eyeoff", "reader.guard_here", (passage) => setGuard(endOf(passage.end)))));
    }
    async function mark(colour) {
      const passage = chosen;
      hideMenu();
      getSelection().removeAllRanges();
      if (passage) await panes.notes.save("add", { start: passage.start, end: passage.end, colour });
    }
    async function note(passage) {
      const id = await panes.notes.save("add", { start: passage.start, end: passage.end });
      if (id === undefined) return;
      panes.notes.edit(id);
      showPane("notes");
    }
    async function copy(passage) {
      try { await navigator.clipboard.writeText(passage.text); Lectern.say("notes", "show", { kind: "done", key: "note.copied" }); } catch { /* refused by the browser */ }
    }
    // the end of the paragraph in which a passage ends: that much has been read
    const endOf = (offset) => flow.visible().find((piece) => piece.at < offset && piece.end >= offset)?.end ?? offset;

    // into the reader's language, or out of it
    function target() {
      const mine = Lectern.language(), language = (book.language || "").split("-")[0];
      return new Intl.DisplayNames([mine], { type: "language" }).of(language === mine ? Object.keys(Lectern.given.strings).find((one) => one !== mine) : mine);
    }

    // a question about a passage: put into the composer to be written on, or asked at once
    function quote(passage, key) {
      const lines = passage.text.replace(/\s*\n\s*/g, "\n").slice(0, 4000).split("\n").map((line) => "> " + line).join("\n");
      const question = key ? t(key, { passage: lines, language: target() }) : lines + "\n\n";
      if (!seat.chosen.includes(book.document)) Lectern.say("shelf", "chooseOnly", [book.document]);
      // where the reader lies over the conversation, the answer would not be seen
      if (narrow.matches) { opener = null; close(); }
      Lectern.say("composer", key ? "ask" : "fill", question);
    }

    // a click on a highlight opens its note
    flowBox.addEventListener("click", (event) => {
      if (!book || !getSelection().isCollapsed) return;
      const caret = document.caretRangeFromPoint?.(event.clientX, event.clientY);
      const at = caret && flowBox.contains(caret.startContainer) ? flow.offsetOf(caret.startContainer, caret.startOffset) : null;
      if (found) { found = null; marks(); }
      const hit = at === null ? null : book.notes.find((one) => !one.lost && one.start <= at && at <= one.end);
      if (hit && (shows() === "pages" || event.target.closest("mark.noted"))) { panes.notes.edit(hit.id); showPane("notes"); }
    });

    // ---- keys
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        if (!menu.hidden) { hideMenu(); getSelection().removeAllRanges(); } else if (!typeBox.hidden) toggleType(); else if (pane) leavePane(); else close();
        event.stopPropagation();
        return;
      }
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f") { event.preventDefault(); showPane("look_up"); return; }
      if (event.target !== scroller || event.ctrlKey || event.metaKey || event.altKey) return;
      const forth = vertical() ? "ArrowLeft" : "ArrowRight", back = vertical() ? "ArrowRight" : "ArrowLeft";
      const step = event.key === "PageDown" || event.key === forth || (event.key === " " && !event.shiftKey) ? 1 : event.key === "PageUp" || event.key === back || (event.key === " " && event.shiftKey) ? -1 : 0;
      if (step) { event.preventDefault(); flow.page(step); } else if (event.key === "Home") { event.preventDefault(); go(0, { away: 0 }); } else if (event.key === "End") { event.preventDefault(); go(book.characters - 1); }
    });
    let size = 0;
    new ResizeObserver(() => { if (book && Math.abs(scroller.clientWidth - size) > 4) { size = scroller.clientWidth; flow.keep(); } }).observe(scroller);

    Lectern.reader = { open, close, get document() { return book?.document ?? null; }, flow };
    return {
      relabel, open, close,
      guard: async (id, offset) => {
        if (book?.document === id) return setGuard(offset);
        const answer = await call("guard", { document: id, offset });
        if (!answer.refused) send("guarded");
      },
      covers: (documents) => call("covers", { documents }),
      update() {},
    };
  });

  // up to where a book may be told, in words
  Lectern.guardText = (part, chapter) => {
    const n = Math.max(1, Math.floor(part * 100));
    return chapter ? t("guard.chapter", { chapter, n }) : t("guard.share", { n });
  };
})();
