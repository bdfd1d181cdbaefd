// a backup of the library, made on the server whether this page stays or not, and how one is restored
Lectern.backup = ({ ask, draw, shown }) => {
  const { h, t, button } = Lectern;
  const AGAIN = 500; // ms
  let state = {}, begun = false, timer = null;

  async function look(act) {
    clearTimeout(timer);
    const answer = await ask(act ? { act } : {});
    if (!answer) return;
    const making = Boolean(state.making);
    state = answer;
    begun = false;
    if (shown() && (act || making || state.making || state.ready)) draw();
    // one that another page began is followed too
    if (state.making && shown()) timer = setTimeout(look, AGAIN);
  }

  function parts() {
    const heading = [h("h3", {}, t("backup.title")), h("p", { class: "fine" }, t("backup.text"))];
    if (state.making || begun) {
      const { done = 0, total = 0 } = state.making || {}, share = total ? done / total : null;
      // written first, then read back
      const line = share === null ? t("backup.begun") : t(share < 0.5 ? "backup.writing" : "backup.checking", { n: Math.floor(share * 100) });
      return [...heading, h("div", { class: "fetching", role: "status" },
        h("p", { class: "backup-line" }, h("span", {}, line, total > 0 && h("span", { class: "fine" }, ` ${Lectern.bytes(total / 2)}`)),
          button("stop", t("backup.stop"), () => look("stop"), { text: t("backup.stop"), data: { focus: "backup-stop" } })),
        h("div", { class: "bar" + (share === null ? " unsure" : "") }, h("span", { style: share === null ? {} : { width: share * 100 + "%" } })))];
    }
    const make = (text) => button(null, text, () => { begun = true; draw(); look("make"); }, { text, kind: "firm", data: { focus: "backup-make" } });
    if (!state.ready) return [...heading, h("div", { class: "backup-acts" }, make(t("backup.make"))), ...restoring("lectern-….zip")];
    const { name, size, made, address } = state.ready;
    return [...heading,
      h("div", { class: "backup-made" }, h("div", {}, h("p", {}, h("strong", {}, name)), h("p", { class: "fine" }, [Lectern.bytes(size), Lectern.when(made)].join(" · "))),
        h("span", { class: "backup-acts" }, h("a", { class: "button primary", href: address, download: name, data: { focus: "backup-get" } }, Lectern.icon("download"), h("span", {}, t("backup.get"))),
          make(t("backup.anew")), button("trash", t("backup.drop"), () => look("drop"), { title: t("backup.drop"), data: { focus: "backup-drop" } }))),
      ...restoring(name)];
  }

  // never into the library that is open: a folder of its own, and nothing here is touched
  const restoring = (name) => [h("details", { class: "restoring", open: restoring.open, ontoggle: (event) => { restoring.open = event.target.open; } },
    h("summary", {}, t("backup.restore")), h("p", { class: "fine" }, t("backup.restore_text")),
    h("pre", {}, h("code", {}, `lectern restore ${name} --home ~/lectern-restored\nlectern serve --home ~/lectern-restored`)))];

  return { look, draw: parts };
};
