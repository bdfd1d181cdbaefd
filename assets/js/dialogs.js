// the settings and the list of keys, each a dialog over the page; and what the keys do
(() => {
  const { h, t, icon, button, seat, store, given } = Lectern;

  // ---- a dialog: closes by its cross, by Escape and by a click beside it; the focus goes back to where it was
  function dialog(name, label) {
    const body = h("div", { class: "dialog-body" });
    const title = h("h2", { id: `${name}-title` });
    const cross = h("span", {});
    const box = h("dialog", { class: `dialog ${name}`, aria: { labelledby: `${name}-title` },
      onclick: (event) => { if (event.target === box) box.close(); } },
      h("header", { class: "dialog-head" }, title, cross), body);
    const relabel = () => {
      title.textContent = t(label);
      cross.replaceChildren(button("close", t("dialog.close"), () => box.close()));
    };
    relabel();
    return { box, body, relabel, show: () => { if (!box.open) box.showModal(); } };
  }

  // ---- what is kept in this browser
  Lectern.sampling = () => store.read("localStorage", "sampling") || {};
  const PRESETS = { exact: { temperature: 0 }, balanced: {}, free: { temperature: 1, top_p: 0.95 } };
  const SIZES = ["small", "medium", "large"];
  const dress = () => { document.documentElement.dataset.size = store.read("localStorage", "size") || "medium"; };
  dress();

  Lectern.panel("settings", (root, send, gradio) => {
    const { box, body, relabel, show } = dialog("settings", "settings.title");
    root.append(box);
    const SECTIONS = ["model", "answers", "reading", "storage", "look", "privacy"];
    let section = "model";
    let value = null, kept = null, asking = null;
    const nav = h("div", { class: "tabs", role: "tablist", aria: { orientation: "vertical" } });
    const page = h("div", { class: "settings-page", role: "tabpanel", id: "settings-page", tabindex: "0" });
    body.append(nav, page);

    async function ask(name, said = {}) {
      try {
        await Lectern.arrived;
        const answer = await gradio.server[name]({ visitor: seat.visitor, ...said });
        if (answer?.note) Lectern.say("notes", "show", answer.note);
        return answer;
      } catch (error) {
        console.warn("lectern: the settings were not answered", error);
        Lectern.say("notes", "show", { kind: "error", key: "note.unanswered" });
        return null;
      }
    }
    async function look() { const answer = await ask("look"); if (answer?.offers) { value = answer; draw(); } }
    async function weigh() { if (section === "storage") backup.look(); const answer = await ask("storage"); if (answer) { kept = answer; draw(); } }
    async function change(said) { asking = null; const answer = await ask("change", said); if (answer?.offers) { value = answer; draw(); } }

    const row = (label, control, hint) => h("div", { class: "setting" }, h("div", { class: "setting-text" }, label, hint && h("p", { class: "fine" }, hint)), control);
    function choice(name, label, options, current, onchange, hint) {
      const id = `set-${name}`;
      return row(h("label", { for: id }, label),
        h("select", { id, class: "order-box", data: { focus: name }, onchange: (event) => onchange(event.target.value) },
          options.map(([key, text]) => h("option", { value: key, selected: key === current }, text))), hint);
    }
    // a switch among a few, as buttons
    function among(label, options, current, onclick, hint) {
      return row(h("span", {}, label), h("div", { class: "among", role: "group", aria: { label } }, options.map(([key, text]) =>
        h("button", { type: "button", aria: { pressed: String(key === current) }, data: { focus: key }, onclick: () => onclick(key) }, text))), hint);
    }

    // ---- model
    function offer(one) {
      const facts = [
        t("settings.model_size", { n: Lectern.compact(one.parameters) }),
        t("settings.model_window", { size: Lectern.tokens(one.window) }), t("settings.model_memory", { size: Lectern.bytes(one.memory) }),
        !one.here && t("model.download", { size: Lectern.bytes(one.download) })];
      const fit = one.fits
        ? [t("settings.model_most", { size: Lectern.tokens(one.most) }),
          one.on_card !== null && one.on_card < one.most && t("settings.model_beside", { size: Lectern.tokens(one.on_card) }), one.seconds !== null && t("model.novel", { time: Lectern.duration(one.seconds) })]
        : [t(`settings.unfit_${one.bound === "range" ? "range" : "bytes"}`, { bound: t("settings.bound." + one.bound.replace(" ", "_")),
          needed: one.bound === "range" ? Lectern.tokens(one.needed) : Lectern.bytes(one.needed), available: one.bound === "range" ? Lectern.tokens(one.available) : Lectern.bytes(one.available) })];
      return h("li", { class: `offer${one.current ? " current" : ""}${one.fits ? "" : " unfit"}` },
        h("div", { class: "offer-text" }, h("p", {}, h("strong", {}, one.title), one.current && h("span", { class: "tag" }, t("model.current")),
          one.recommended && !one.current && h("span", { class: "tag" }, t("settings.recommended")), one.here && !one.current && h("span", { class: "tag quiet" }, t("settings.here"))),
          h("p", { class: "fine" }, facts.filter(Boolean).join(" · ")),
          h("p", { class: `fine${one.fits ? "" : " too-much"}` }, fit.filter(Boolean).join(" · ")),
          h("p", { class: "fine" }, t("settings.licence", { name: one.licence }))),
        !one.current && !value.fixed && button(null, t(one.here ? "settings.use" : "settings.fetch"), () => change({ model: one.name }),
          { text: t(one.here ? "settings.use" : "settings.fetch"), kind: "firm", disabled: !one.fits, aria: { label: `${t(one.here ? "settings.use" : "settings.fetch")}: ${one.title}` }, data: { focus: one.name } }));
    }

    function models() {
      const now = Lectern.modelNow?.() || value.now;
      const parts = [h("p", { class: "lead" }, t(value.fixed ? "settings.model_fixed" : "settings.model_lead"))];
      if (now.preparing) {
        const { done, total } = now.preparing, share = total ? done / total : null;
        const line = share === null ? t("model.preparing", { name: now.name }) : t("model.preparing_share", { name: now.name, n: Math.floor(share * 100) });
        parts.push(h("div", { class: "fetching", role: "status" }, h("p", {}, line, total > 0 && h("span", { class: "fine" }, ` ${Lectern.bytes(done)} / ${Lectern.bytes(total)}`)),
          h("div", { class: "bar" + (share === null ? " unsure" : "") }, h("span", { style: share === null ? {} : { width: share * 100 + "%" } }))));
      }
      if (now.problem) parts.push(h("p", { class: "trouble", role: "alert" }, icon("warning"), h("span", {}, h("strong", {}, t("model.problem", { name: now.name })), " ", Lectern.said(now.problem)),
        !value.fixed && button("again", t("shelf.again"), () => change({ model: value.model }), { text: t("shelf.again"), kind: "firm", data: { focus: "fetch-again" } })));
      parts.push(h("ul", { class: "offers" }, value.offers.map(offer)));
      if (!value.fixed) {
        const known = value.offers.some((one) => one.current);
        const field = h("input", { id: "set-other", type: "text", class: "text-box", value: known ? "" : value.model, placeholder: t("settings.other_hint"), data: { focus: "other" } });
        parts.push(h("form", { class: "setting", onsubmit: (event) => { event.preventDefault(); if (field.value.trim()) change({ model: field.value.trim() }); } },
          h("label", { for: "set-other" }, t("settings.other")), h("span", { class: "joined" }, field, h("button", { type: "submit", class: "button firm" }, t("settings.use")))));
      }
      return parts;
    }

    // ---- answers
    const LIMITS = { temperature: [0, 2, 0.05], top_p: [0.05, 1, 0.05], top_k: [0, 200, 1], min_p: [0, 0.5, 0.01], repetition_penalty: [0.5, 2, 0.05], max_tokens: [64, 8192, 64] };
    function answers() {
      const chosen = Lectern.sampling();
      const keep = (next) => { store.write("localStorage", "sampling", next); draw(); };
      const preset = Object.keys(PRESETS).find((name) => JSON.stringify(PRESETS[name]) === JSON.stringify(chosen)) || null;
      const slider = (name) => {
        const [min, max, step] = LIMITS[name], id = `set-${name}`, now = chosen[name] ?? given.sampling[name];
        const shown = h("output", { for: id }, Lectern.number(now));
        return row(h("label", { for: id }, t(`settings.${name}`)), h("span", { class: "slider" }, h("input", { id, type: "range", min, max, step, value: now, data: { focus: name },
          oninput: (event) => { shown.textContent = Lectern.number(Number(event.target.value)); },
          onchange: (event) => keep({ ...chosen, [name]: Number(event.target.value) }) }), shown), t(`settings.${name}_hint`));
      };
      const seed = h("input", { id: "set-seed", type: "number", min: 0, max: 2147483647, step: 1, class: "text-box short", value: chosen.seed ?? "", data: { focus: "seed" },
        onchange: (event) => { const { seed: _, ...rest } = chosen; keep(event.target.value === "" ? rest : { ...rest, seed: Math.floor(Number(event.target.value)) }); } });
      return [
        among(t("settings.preset"), Object.keys(PRESETS).map((name) => [name, t(`settings.preset_${name}`)]), preset, (name) => keep(PRESETS[name]), t("settings.preset_hint")),
        ...Object.keys(LIMITS).map(slider), row(h("label", { for: "set-seed" }, t("settings.seed")), seed, t("settings.seed_hint")),
        h("p", { class: "fine" }, t("settings.answers_where"))];
    }

    // what was read of a book is pinned with the book
    function keeper(one) {
      if (one.documents.length !== 1) return null;
      const { id, title } = one.documents[0], label = t(one.pinned ? "shelf.unpin" : "shelf.pin", { title });
      return button("pin", label, () => {
        for (const row of kept.rows) if (row.documents.length === 1 && row.documents[0].id === id) row.pinned = !one.pinned;
        Lectern.say("shelf", "pin", { id, on: one.pinned });
        draw();
      }, { class: `button quiet bare pin${one.pinned ? " on" : ""}`, title: label, aria: { label: t("shelf.pin", { title }), pressed: String(one.pinned) }, data: { focus: `pin-${id}` } });
    }

    // ---- reading
    function readings() {
      const parts = [value.fixed ? null : choice("policy", t("settings.policy"), value.policies.map((name) => [name, t(`settings.policy_${name}`)]), value.policy, (policy) => change({ policy }), t("settings.policy_hint"))];
      parts.push(h("h3", {}, t("settings.kept")));
      if (!kept) parts.push(h("p", { class: "fine" }, t("settings.weighing")));
      else if (!(kept.rows || []).length) parts.push(h("p", { class: "fine" }, t("settings.kept_none")));
      else {
        parts.push(h("p", { class: "fine" }, t("settings.recall_hint")), h("div", { class: "table-scroll", tabindex: "0", role: "region", aria: { label: t("settings.kept") } }, h("table", { class: "kept" },
          h("thead", {}, h("tr", {}, ["kept_what", "kept_tokens", "kept_size", "kept_policy", "kept_recall", "kept_pin"].map((name) => h("th", { scope: "col" }, t(`settings.${name}`))))),
          h("tbody", {}, kept.rows.map((one) => h("tr", {}, h("th", { scope: "row" }, one.documents.length ? Lectern.list(one.documents.map((book) => book.title)) : one.conversation ? one.conversation.title : t("settings.kept_other")),
            h("td", {}, Lectern.tokens(one.tokens)), h("td", {}, Lectern.bytes(one.bytes)), h("td", {}, one.policies.map((name) => (Lectern.known(`settings.how_${name}`) ? t(`settings.how_${name}`) : name)).join(t("list.separator"))),
            h("td", {}, one.recall === null ? "–" : Lectern.number(one.recall, { style: "percent" })), h("td", {}, keeper(one))))))));
      }
      return parts;
    }

    // ---- storage
    const backup = Lectern.backup({ ask: (said) => ask("backup", said), draw: () => draw(), shown: () => box.open && section === "storage" });
    function storage() {
      if (!kept) return [h("p", { class: "fine" }, t("settings.weighing"))];
      if (!kept.sizes) return [h("p", {}, t("space.temporary"))];
      const names = Object.keys(kept.sizes), all = names.reduce((sum, name) => sum + kept.sizes[name], 0) + kept.free;
      const gigabytes = (count) => Math.round(count / 1e8) / 10;
      const field = h("input", { id: "set-budget", type: "number", min: 0.1, step: 0.1, class: "text-box short", value: value.budget === null ? "" : gigabytes(value.budget), placeholder: value.limit === null ? t("settings.budget_none") : String(gigabytes(value.limit)), data: { focus: "budget" },
        onchange: (event) => change({ budget: event.target.value === "" ? null : Math.round(Number(event.target.value) * 1e9) }) });
      return [
        h("div", { class: "stack", role: "img", aria: { label: t("settings.sizes") } }, names.map((name) => h("span", { class: `of-${name}`, style: { width: (kept.sizes[name] / all) * 100 + "%" } }))),
        h("dl", { class: "sizes" }, names.flatMap((name) => [h("dt", {}, h("span", { class: `swatch of-${name}` }), t(`settings.size_${name}`)), h("dd", {}, Lectern.bytes(kept.sizes[name]))]),
          h("dt", {}, h("span", { class: "swatch" }), t("settings.size_free")), h("dd", {}, Lectern.bytes(kept.free))),
        row(h("label", { for: "set-budget" }, t("settings.budget")), field, t("settings.budget_hint")),
        h("dl", { class: "places" }, h("dt", {}, t("settings.home")), h("dd", {}, h("code", {}, value.home)), h("dt", {}, t("settings.cache")), h("dd", {}, h("code", {}, value.cache))),
        ...backup.draw()];
    }

    // ---- language and appearance
    function look_section() {
      const appearance = store.read("localStorage", "appearance") || "system";
      return [
        among(t("settings.language"), Object.keys(given.strings).map((name) => [name, given.strings[name]["bar.language_name"]]), Lectern.language(), (name) => Lectern.setLanguage(name)),
        among(t("settings.appearance"), ["system", "light", "dark"].map((name) => [name, t(`settings.appearance_${name}`)]), appearance, (name) => { Lectern.setAppearance(name); draw(); }),
        among(t("settings.size"), SIZES.map((name) => [name, t(`settings.size_${name}`)]), document.documentElement.dataset.size, (name) => { store.write("localStorage", "size", name); dress(); draw(); }),
        among(t("settings.keys"), ["on", "off"].map((name) => [name, t(`settings.${name}`)]), store.read("localStorage", "keys") || "on", (name) => { store.write("localStorage", "keys", name); draw(); }, t("settings.keys_hint")),
        button("keys", t("keys.title"), () => { box.close(); Lectern.say("keys", "show"); }, { text: t("keys.title"), kind: "firm" })];
    }

    // ---- privacy: the page counts for itself whom it asked for anything
    function privacy() {
      const asked = performance.getEntriesByType("resource").filter((one) => /^https?:/.test(one.name));
      const others = asked.filter((one) => new URL(one.name).origin !== location.origin);
      return [
        h("p", { class: `verdict ${others.length ? "bad" : "good"}` }, icon(others.length ? "warning" : "check"), h("span", {}, t("settings.asked", { n: asked.length, others: others.length }))),
        h("ul", { class: "promises" }, ["promise_texts", "promise_analytics", "promise_fonts", "promise_models", "promise_log"].map((name) => h("li", {}, t(`settings.${name}`)))),
        given.space && h("p", {}, t("space.temporary"))];
    }

    const made = { model: models, answers, reading: readings, storage, look: look_section, privacy };
    function draw() {
      relabel();
      if (!box.open) return;
      const held = document.activeElement?.dataset?.focus;
      nav.setAttribute("aria-label", t("settings.title"));
      nav.replaceChildren(...SECTIONS.map((name) => h("button", { type: "button", role: "tab", id: `tab-${name}`, tabindex: name === section ? "0" : "-1", data: { focus: `tab-${name}` },
        aria: { selected: String(name === section), controls: "settings-page" }, onclick: () => go(name),
        onkeydown: (event) => {
          const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
          if (step) { event.preventDefault(); go(SECTIONS[(SECTIONS.indexOf(name) + step + SECTIONS.length) % SECTIONS.length]); }
        } }, t(`settings.${name}`))));
      page.setAttribute("aria-labelledby", `tab-${section}`);
      const top = page.scrollTop;
      page.replaceChildren(...(value ? made[section]().filter(Boolean) : [h("p", { class: "fine" }, t("settings.weighing"))]));
      page.scrollTop = top;
      if (held) body.querySelector(`[data-focus="${held}"]`)?.focus();
    }
    function go(name) {
      section = name;
      page.scrollTop = 0;
      draw();
      nav.querySelector(`#tab-${name}`).focus();
      if ((name === "storage" || name === "reading") && !kept) weigh();
    }

    return {
      draw,
      relabel: draw,
      show(name) { section = name || section; kept = null; show(); draw(); look(); if (section === "storage" || section === "reading") weigh(); nav.querySelector('[tabindex="0"]').focus(); },
      // the model told something new of itself
      model() { if (box.open && section === "model") look(); },
      update() {},
    };
  });

  // ---- keys
  const typing = (target) => target.closest?.("input:not([type=checkbox]):not([type=radio]):not([type=file]), textarea, select, [contenteditable]");
  const KEYS = [
    { keys: ["?"], key: "keys.help", act: () => Lectern.say("keys", "show") },
    { keys: ["/"], key: "keys.question", act: () => Lectern.say("composer", "focus") },
    { keys: ["n"], key: "keys.new", act: () => Lectern.say("threads", "begin") },
    { keys: ["s"], key: "keys.shelf", act: () => { Lectern.say("bar", "showShelf"); Lectern.say("shelf", "find"); } },
    { keys: ["c"], key: "keys.conversations", act: () => { Lectern.say("bar", "showShelf"); Lectern.say("threads", "find"); } },
    { keys: ["o"], key: "keys.reader", act: () => { if (seat.chosen.length) Lectern.reader?.open(seat.chosen[0]); } },
    { keys: ["a"], key: "keys.add", act: () => Lectern.say("shelf", "pick") },
    { keys: ["e"], key: "keys.edit", act: () => Lectern.say("transcript", "editLast") },
    { keys: ["j", "k"], key: "keys.turns", act: (event) => Lectern.say("transcript", "step", event.key === "j" ? 1 : -1) },
    { keys: [","], key: "keys.settings", act: () => Lectern.say("settings", "show") },
    { keys: ["d"], key: "keys.appearance", act: () => Lectern.toggleAppearance() },
  ];
  // told in the list, done where they belong
  const ELSEWHERE = [
    { keys: ["Enter"], key: "keys.send" }, { keys: ["Shift", "Enter"], key: "keys.line" }, { keys: ["↑"], key: "keys.last" }, { keys: ["Esc"], key: "keys.close" },
    { keys: ["Space"], key: "keys.page" }, { keys: ["Ctrl", "F"], key: "keys.book" },
  ];
  Lectern.keys = KEYS;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && !document.querySelector("dialog[open]") && Lectern.answering?.() && typing(event.target)?.id === "question") { Lectern.say("composer", "stop"); return; }
    if (typing(event.target) || document.querySelector("dialog[open]") || store.read("localStorage", "keys") === "off") return;
    const found = Lectern.keys.find((one) => one.keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found.act(event);
  });

  Lectern.panel("keys", (root) => {
    const { box, body, relabel, show } = dialog("keys", "keys.title");
    root.append(box);
    function draw() {
      relabel();
      const said = (one) => h("div", { class: "key-row" }, h("dt", {}, one.keys.map((key) => h("kbd", {}, key))), h("dd", {}, t(one.key)));
      body.replaceChildren(h("dl", { class: "keys-list" }, [...ELSEWHERE, ...Lectern.keys].map(said)), h("p", { class: "fine" }, t("keys.about")));
    }
    draw();
    return { draw, relabel: draw, show() { draw(); show(); }, update() {} };
  });
})();
