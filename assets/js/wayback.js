// from a place in a book back to what led there: Lectern.visit(document, {start, end}, title, back)
(() => {
  const { h, t, icon } = Lectern;
  const chip = h("button", { type: "button", class: "button wayback" });
  const clear = () => chip.remove();

  Lectern.visit = async (document_, place, title, back) => {
    clear();
    const root = document.querySelector("[data-panel=reader]");
    const gone = new MutationObserver(() => { if (!root.classList.contains("open")) { gone.disconnect(); clear(); } });
    await Lectern.reader.open(document_, place);
    if (!root.classList.contains("open")) return;
    chip.replaceChildren(icon("left"), h("span", {}, t("reader.back_to", { title })));
    chip.onclick = () => { clear(); back(); };
    root.querySelector(".reader-body").append(chip);
    gone.observe(root, { attributes: true, attributeFilter: ["class"] });
  };
})();
