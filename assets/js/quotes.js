// the quotations of a finished answer: each is marked, and opens a panel with the place where it stands
(() => {
  const { h, t, button, icon } = Lectern;
  const icons = { exact: "check", near: "near", missing: "absent" };
  const kind = (quote) => (quote.kind === "not found" ? "missing" : quote.kind);
  let serial = 0;

  function where(quote) {
    const said = [t("title", { title: quote.title })];
    if (quote.chapter) said.push(quote.chapter);
    if (quote.page) said.push(t("quote.page", { n: quote.page }));
    return said.join(" · ");
  }

  // what the answer says is Markdown: its emphasis is no word of it
  const plain = (text) => text.replace(/[*_`\\]+/g, "");

  function difference(quote) {
    return h("p", { class: "quote-difference" }, h("span", { class: "fine" }, t("quote.difference")),
      h("span", {}, quote.difference.map(([operation, ours, theirs]) => (operation === "equal" ? theirs || plain(ours) : [
        plain(ours) && h("del", { title: t("quote.deleted") }, plain(ours)),
        theirs && h("ins", { title: t("quote.inserted") }, theirs),
      ]))));
  }

  function panel(quote, id, close) {
    const name = t("quote." + kind(quote));
    return h("aside", { class: `quote-panel ${kind(quote)}`, id, role: "group", aria: { label: name },
      onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } } },
      h("header", {}, icon(icons[kind(quote)]), h("strong", {}, name), button("close", t("quote.close"), close)),
      quote.kind === "not found" && h("p", {}, t("quote.missing_more")),
      quote.ahead && h("p", {}, t("quote.ahead")),
      quote.kind === "near" && !quote.ahead && difference(quote),
      quote.kind !== "not found" && h("p", { class: "quote-place" }, where(quote), quote.place && button("open", t("quote.open"), () => Lectern.reader.open(quote.document, { start: quote.place[0], end: quote.place[1] }), { text: t("quote.open"), class: "button quiet" })),
      quote.kind !== "not found" && !quote.ahead && h("blockquote", {}, quote.passage.map(([text, found]) => (found ? h("mark", {}, text) : text.replace(/\n{2,}/g, "\n")))));
  }

  // answer: the element that holds the answer's html, with its quotations numbered by app/ui/markup.py
  Lectern.markQuotes = (answer, quotes) => {
    quotes.forEach((quote, number) => {
      const pieces = [...answer.querySelectorAll(`[data-quote="${number}"]`)];
      if (!pieces.length) return;
      const id = `quote-${++serial}`;
      let open = null;
      const close = () => { open?.remove(); open = null; mark.setAttribute("aria-expanded", "false"); mark.focus(); };
      const toggle = () => {
        if (open) return close();
        open = panel(quote, id, close);
        (mark.closest("p, li, blockquote, table, h3, h4, h5, h6") || mark).after(open);
        mark.setAttribute("aria-expanded", "true");
        open.querySelector("mark")?.scrollIntoView({ block: "nearest" });
      };
      const label = `${t("quote." + kind(quote))}: ${quote.text.slice(0, 80)}`;
      const mark = h("button", { type: "button", class: `quote-mark ${kind(quote)}`, title: t("quote." + kind(quote)), onclick: toggle,
        aria: { label, expanded: "false", controls: id } }, icon(icons[kind(quote)]));
      pieces.at(-1).after(mark);
      // a link within keeps its own click
      for (const piece of pieces) piece.addEventListener("click", (event) => { if (!event.target.closest("a") && !String(getSelection())) toggle(); });
    });
  };
})();
