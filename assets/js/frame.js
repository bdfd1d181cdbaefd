// the bar with the name of the program, the line about the model, and notes to the reader
(() => {
  const { h, t, icon, button, given } = Lectern;
  const narrow = window.matchMedia("(max-width: 820px)");

  Lectern.panel("brand", (root) => {
    const name = h("span", { class: "brand-name" }, "Lectern");
    const tongue = h("span", {});
    const look = h("span", {});
    root.append(h("div", { class: "brand" }, h("span", { class: "brand-mark" }, icon("lectern")), name), h("div", { class: "brand-actions" }, tongue, look,
      button("close", t("bar.close"), () => Lectern.say("bar", "hideShelf"), { class: "button quiet bare drawer-close" })));
    const relabel = () => {
      const next = Object.keys(given.strings).find((one) => one !== Lectern.language());
      tongue.replaceChildren(h("button", { type: "button", class: "button quiet tongue", lang: next, onclick: () => Lectern.setLanguage(next), aria: { label: given.strings[next]["bar.language"] } }, given.strings[next]["bar.language_name"]));
      look.replaceChildren(button("sun", t("bar.appearance"), Lectern.toggleAppearance), button("gear", t("settings.title"), () => Lectern.say("settings", "show")));
      root.querySelector(".drawer-close").setAttribute("aria-label", t("bar.close"));
    };
    relabel();
    return { relabel, update() {} };
  });

  Lectern.panel("bar", (root) => {
    const title = h("span", { class: "bar-title" });
    const open = h("span", {});
    const fresh = h("span", {});
    const veil = h("div", { class: "drawer-veil", onclick: () => hide() });
    root.append(open, title, fresh);
    function show() {
      if (!narrow.matches) return;
      document.body.classList.add("drawer-open");
      document.body.append(veil);
      document.getElementById("lectern-side")?.querySelector("button, input")?.focus();
    }
    function hide() {
      if (!document.body.classList.contains("drawer-open")) return;
      document.body.classList.remove("drawer-open");
      veil.remove();
      open.querySelector("button")?.focus();
    }
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    const relabel = () => {
      open.replaceChildren(button("books", t("bar.shelf"), show, { text: t("bar.shelf") }));
      fresh.replaceChildren(button("plus", t("threads.new"), () => Lectern.say("threads", "begin")));
    };
    relabel();
    return { relabel, update() {}, showShelf: show, hideShelf: hide, title: (text) => { title.textContent = text; } };
  });

  // menus close when the reader goes elsewhere
  document.addEventListener("click", (event) => { for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  // a turn remembers the name of the model that answered
  const titles = new Map();
  Lectern.modelTitle = (name) => titles.get(name) || name;

  Lectern.panel("model", (root) => {
    let value = {};
    Lectern.modelNow = () => (value.name ? value : null);

    function pending() {
      if (value.problem) {
        return [h("p", { class: "model-problem", role: "alert" }, icon("warning"), h("span", {}, h("strong", {}, t("model.problem", { name: value.name })), " ", Lectern.said(value.problem)))];
      }
      const { done, total, text } = value.preparing;
      const share = total ? done / total : null;
      const line = share === null ? t("model.preparing", { name: value.name }) : t("model.preparing_share", { name: value.name, n: Math.floor(share * 100) });
      return [h("p", { class: "model-preparing" }, h("span", { class: "pulse" }), h("span", {}, line), text && h("span", { class: "fine" }, text)),
        h("div", { class: "bar" + (share === null ? " unsure" : "") }, h("span", { style: share === null ? {} : { width: share * 100 + "%" } }))];
    }

    function line() {
      return [h("button", { type: "button", class: "model-line", onclick: () => Lectern.say("settings", "show", "model"), title: t(value.small ? "model.small_text" : "model.able_text") },
        h("span", { class: "model-dot" + (value.small ? " small" : "") }), h("strong", {}, value.title),
        h("span", { class: "worth" }, t(value.small ? "model.small" : "model.able")),
        value.better && h("span", { class: "could" }, t("model.could", { title: value.better })),
        h("span", { class: "model-more" }, t("model.more")))];
    }

    function draw() {
      const parts = value.title ? line() : value.preparing || value.problem ? pending() : [];
      if (given.space) parts.push(h("p", { class: "temporary" }, icon("info"), h("span", {}, t("space.temporary"))));
      root.replaceChildren(...parts);
    }
    return {
      relabel: draw,
      update(next) {
        const held = value.limit;
        value = next || {};
        if (value.limit !== held) Lectern.say("shelf", "draw");
        if (value.name) Lectern.welcome(value.visitor);
        const known = titles.size;
        for (const one of [...(value.offers || []), value]) if (one.title) titles.set(one.name, one.title);
        if (titles.size !== known) Lectern.say("transcript", "draw");
        Lectern.say("settings", "model");
        draw();
      },
    };
  });

  // in the reader's language where the error is known by name, in its own words where it is not
  Lectern.noteText = (note) => {
    const key = note.name ? "error." + note.name : note.key;
    return key && Lectern.known(key) ? t(key, note.values || {}) : Lectern.said(note.text || "");
  };

  Lectern.panel("notes", (root) => {
    const stack = h("div", { class: "notes" });
    root.append(stack);
    let last = null;
    // gradio says in English, and with no way to ask it not to, that the server is gone; it tries again every two
    // seconds and loads the page anew when it comes back
    function listen() {
      const wrap = document.querySelector(".toast-wrap");
      if (!wrap) { requestAnimationFrame(listen); return; }
      const hear = () => {
        for (const toast of wrap.querySelectorAll(".toast-item:not([hidden])")) {
          toast.hidden = true;
          for (const said of toast.querySelectorAll(".toast-message-text")) {
            show(/connection/i.test(said.textContent) ? { kind: "error", key: "note.lost", stays: true } : { kind: "error", text: said.textContent });
          }
        }
      };
      new MutationObserver(hear).observe(wrap, { childList: true, subtree: true });
      hear();
    }
    listen();
    function show(note) {
      let text = Lectern.noteText(note);
      // several of one kind are one note: ten books dropped again would cover the page
      const titles = note.key === "note.already" ? [...stack.children].filter((one) => one.already).flatMap((one) => one.already) : [];
      if (titles.length) {
        if (!titles.includes(note.values.title)) titles.push(note.values.title);
        for (const one of [...stack.children]) if (one.already) one.remove();
        if (titles.length > 1) text = t("note.already_all", { titles: Lectern.list(titles.map((title) => t("title", { title }))) });
      }
      const element = h("div", { class: `note ${note.kind}`, role: note.kind === "error" ? "alert" : "status" },
        icon(note.kind === "error" ? "warning" : note.kind === "done" ? "check" : "info"), h("p", {}, text),
        button("close", t("note.close"), () => element.remove()));
      if (note.key === "note.already") element.already = titles.length ? titles : [note.values.title];
      for (const old of stack.children) if (old.textContent === element.textContent) old.remove();
      stack.append(element);
      while (stack.children.length > 4) stack.firstChild.remove();
      if (!note.stays) setTimeout(() => element.remove(), note.kind === "error" ? 20000 : 6000);
    }
    return {
      show,
      update(next) {
        if (!next || !next.serial || next.serial === last) return;
        last = next.serial;
        show(next);
      },
    };
  });
})();
