// what was taken from the shelf and can come back: one line at its end, a list when it is wanted
(() => {
  const { h, t, icon, button, seat } = Lectern;

  Lectern.removedBooks = ({ gradio, send, draw }) => {
    let list = null; // null while it is folded
    let seen = 0;

    async function look() {
      try {
        list = (await gradio.server.removed({ visitor: seat.visitor })).items;
      } catch (error) {
        console.warn("lectern: the removed books were not told", error);
      }
      draw();
      document.querySelector(".cards > .removed")?.scrollIntoView({ block: "nearest" });
    }
    const fold = () => { list = null; draw(); };

    // as an entry of the shelf, none where there is nothing
    function entries(value) {
      const n = value.removed || 0;
      if (list && n !== seen) look();
      seen = n;
      return n ? [["removed", { kind: "removed", n, list }]] : [];
    }

    function line({ n, list: items }) {
      return h("li", { class: "removed" },
        h("button", { type: "button", class: "removed-head", aria: { expanded: String(items !== null) }, data: { focus: "removed" }, onclick: items ? fold : look },
          icon("trash"), h("span", {}, t("shelf.removed_books", { n }))),
        items && h("ul", {}, items.map((one) => h("li", {}, h("span", { class: "removed-title", title: one.title }, one.title), h("span", { class: "fine" }, Lectern.when(one.removed)),
          button(null, t("shelf.put_back", { title: one.title }), () => send("restore", { id: one.id }), { text: t("shelf.undo"), aria: { label: t("shelf.put_back", { title: one.title }) } })))));
    }
    return { entries, maker: line };
  };
})();
