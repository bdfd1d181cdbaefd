// artefacts: a list beside the conversations, and a dialog in which they are made, read, edited, compared, exported
(() => {
  const { h, t, icon, button, keyed, seat } = Lectern;
  const GROUPS = ["own", "analysis", "papers", "teaching", "data", "writing"];
  const POLL = 600, IDLE = 4000;
  const words = (said) => said?.[Lectern.language()] ?? said?.en ?? said?.zh ?? "";

  Lectern.panel("artefacts", (root, send, gradio) => {
    let made = null, templates = [], shown = null, mode = "make", picked = null, compared = null, editing = null, timer = null, busy = false, source = null, sure = false, chart = null;
    const heading = h("h2", { id: "artefacts-heading" });
    const list = h("ul", { class: "artefact-list", aria: { labelledby: "artefacts-heading" } });
    const fresh = h("span", {});
    root.append(h("section", { class: "artefacts" }, h("div", { class: "panel-head" }, heading, fresh), list));
    const title = h("h2", { id: "artefact-title" });
    const cross = h("span", {});
    const body = h("div", { class: "artefact-body", tabindex: "-1" });
    const box = h("dialog", { class: "dialog artefact", aria: { labelledby: "artefact-title" }, onclick: (event) => { if (event.target === box) box.close(); }, onclose: () => { editing = null; } },
      h("header", { class: "dialog-head" }, title, cross), body);
    root.append(box);

    async function call(name, said = {}) {
      try {
        await Lectern.arrived;
        const answer = (await gradio.server[name]({ visitor: seat.visitor, language: Lectern.language(), ...said })) || {};
        if (answer.note) Lectern.say("notes", "show", answer.note);
        return answer;
      } catch (error) {
        console.warn("lectern: the artefacts were not answered", error);
        Lectern.say("notes", "show", { kind: "error", key: "note.unanswered" });
        return {};
      }
    }

    // ---- the list
    async function look(more = {}) {
      const answer = await call("look", more);
      if (answer.templates) templates = answer.templates;
      if (answer.made) { made = answer.made; drawList(); }
    }
    function drawList() {
      heading.textContent = t("artefacts.heading");
      fresh.replaceChildren(button("plus", t("artefacts.new"), () => choose(), { text: t("artefacts.new"), "data-focus": "new" }));
      const rows = (made || []).map((one) => [one.id, one]);
      keyed(list, rows.length ? rows : [["none", null]], (one) => one === null
        ? h("li", { class: "fine artefact-none" }, t("artefacts.none"))
        : h("li", {}, h("button", { type: "button", class: "artefact-row", data: { focus: "open" }, onclick: () => open(one.id) },
          h("span", { class: "artefact-name" }, one.title),
          (one.state !== "done" || one.behind) && h("span", { class: `state ${one.behind ? "behind" : one.state}` }, t("artefacts.state." + (one.behind ? "behind" : one.state))))));
    }

    // ---- following what is being made
    function follow() {
      clearTimeout(timer);
      const wait = shown?.state === "making" && box.open ? POLL : made?.some((one) => one.state === "making") ? IDLE : null;
      if (wait === null) return;
      timer = setTimeout(async () => {
        if (shown?.state === "making" && box.open && mode === "show" && !editing) {
          const id = shown.id;
          const answer = await call("show", { id, chart });
          if (answer.id === id && shown?.id === id && mode === "show" && !editing) {
            const before = JSON.stringify({ ...shown, writing: null }), only = before === JSON.stringify({ ...answer, writing: null });
            shown = answer;
            // while an item is being written the rest of the page stays as it is
            if (only) drawWriting(); else draw();
            if (answer.state !== "making") look();
          }
        } else await look();
        follow();
      }, wait);
    }
    function show(answer) {
      if (!answer.id) return false;
      shown = answer; mode = "show"; compared = editing = null; sure = false;
      draw();
      // a title that can be changed is no place to begin
      if (!box.open) { box.showModal(); body.focus({ preventScroll: true }); }
      look().then(follow);
      return true;
    }
    async function open(id, version) { chart = null; show(await call("show", { id, version })); }
    async function redraw(name) { chart = name; const answer = await call("show", { id: shown.id, version: shown.version, chart }); if (answer.id === shown?.id && mode === "show") { shown = answer; draw(); } }
    async function act(what, said = {}) {
      if (busy) return;
      busy = true;
      const answer = await call("act", { id: shown.id, do: what, ...said });
      busy = false;
      if (answer.removed) { box.close(); shown = null; look(); } else show(answer);
    }

    // ---- making
    async function choose() {
      mode = "make"; source = null;
      if (!box.open) box.showModal();
      draw();
      await look({ templates: true });
      picked = templates.find((one) => one.id === picked?.id) || picked;
      draw();
    }
    function numbers(text) {
      const found = [];
      for (const part of text.split(/[,，\s]+/).filter(Boolean)) {
        const [first, last] = part.split(/[-–]/).map((one) => parseInt(one, 10));
        for (let n = first; n <= (last || first) && found.length < 1000; n++) found.push(n);
      }
      return found;
    }
    async function begin(event) {
      event.preventDefault();
      if (busy) return;
      const form = event.target, inputs = {};
      for (const one of picked.inputs) inputs[one.id] = form.elements["input-" + one.id].value;
      busy = true;
      const answer = await call("make", { template: picked.id, documents: seat.chosen, inputs, in: form.elements.in.value || null,
        parts: parseInt(form.elements.parts.value, 10) || null, chapters: numbers(form.elements.chapters.value) });
      busy = false;
      show(answer);
    }
    function field(one) {
      const value = words(one.default), name = "input-" + one.id, id = "artefact-" + name;
      const control = one.kind === "choice"
        ? h("select", { id, name, class: "order-box" }, one.choices.map((each) => h("option", { value: each.en, selected: each.en === value }, words(each))))
        : h("input", { id, name, class: "text-box", type: one.kind === "number" ? "number" : "text", value: Array.isArray(value) ? value.join(", ") : value ?? "", required: true });
      return h("label", { class: "artefact-field", for: id }, h("span", {}, words(one.title)), control);
    }
    function drawMake() {
      title.textContent = t("artefacts.make");
      const count = seat.chosen.length;
      const groups = GROUPS.map((group) => [group, templates.filter((one) => (one.own ? "own" : one.group) === group)]).filter(([, found]) => found.length);
      const menu = h("nav", { class: "template-menu", aria: { label: t("artefacts.templates") } }, groups.map(([group, found]) => h("div", {}, h("h3", {}, t("artefacts.group." + group)),
        found.map((one) => h("button", { type: "button", class: "template", data: { template: one.id }, aria: { pressed: String(picked?.id === one.id) }, onclick: () => { picked = one; source = null; draw(); } }, words(one.title))))));
      const small = Lectern.modelNow?.();
      const about = !picked ? [h("p", { class: "lead" }, t("artefacts.pick"))] : source !== null ? drawSource() : [
        h("h3", { class: "template-title" }, words(picked.title)), h("p", { class: "lead" }, words(picked.about)),
        h("form", { class: "artefact-form", onsubmit: begin },
          picked.inputs.map(field),
          h("label", { class: "artefact-field" }, h("span", {}, t("artefacts.in")), h("select", { name: "in", class: "order-box" },
            h("option", { value: "" }, t("artefacts.in_book")), Object.entries(Lectern.given.strings).map(([code, table]) => h("option", { value: code }, table["bar.language_name"])))),
          h("label", { class: "artefact-field" }, h("span", {}, t("artefacts.chapters")), h("input", { name: "chapters", class: "text-box", placeholder: t("artefacts.chapters_all") })),
          h("label", { class: "artefact-field" }, h("span", {}, t("artefacts.parts")), h("input", { name: "parts", type: "number", min: 1, class: "text-box", placeholder: t("artefacts.parts_all") })),
          h("p", { class: count ? "fine" : "fine artefact-warning", role: count ? null : "alert" }, count ? t("artefacts.over", { n: count }) : t("artefacts.choose_books")),
          small?.small && h("p", { class: "fine artefact-warning" }, t("artefacts.small", { title: small.title, better: small.better || t("artefacts.larger") })),
          h("div", { class: "artefact-actions" }, h("button", { type: "submit", class: "button primary", disabled: !count || busy }, t("artefacts.begin")),
            button("copy", t("artefacts.change"), () => { source = JSON.stringify(picked.own ? picked.source : { ...picked.source, id: picked.id + "-2", group: "own" }, null, 1); draw(); }, { text: t("artefacts.change") }),
            picked.own && button("trash", t("artefacts.remove_template"), async () => { const answer = await call("template", { remove: picked.id }); if (answer.templates) { templates = answer.templates; picked = null; draw(); } }))),
      ];
      body.replaceChildren(menu, h("div", { class: "template-page" }, about));
    }
    function drawSource() {
      const area = h("textarea", { class: "template-source", spellcheck: "false", rows: 22, aria: { label: t("artefacts.source") }, oninput: () => { source = area.value; } });
      area.value = source;
      const wrong = h("p", { class: "fine artefact-warning", role: "alert" });
      async function save() {
        let said;
        try { said = JSON.parse(area.value); } catch (error) { wrong.textContent = t("artefacts.not_json", { reason: error.message }); return; }
        const answer = await call("template", { source: said });
        if (answer.note) { wrong.textContent = Lectern.noteText(answer.note); return; }
        templates = answer.templates; picked = templates.find((one) => one.id === said.id); source = null; draw();
      }
      return [h("h3", { class: "template-title" }, t("artefacts.source")), h("p", { class: "fine" }, t("artefacts.source_text")), area, wrong,
        h("div", { class: "artefact-actions" }, button("check", t("book.save"), save, { text: t("book.save"), class: "button firm" }), button(null, t("book.cancel"), () => { source = null; draw(); }, { text: t("book.cancel") }))];
    }

    // ---- places
    // the words that an item quotes, within the sentence that they stand in
    function quoted(one) {
      const at = one.quote ? one.text.replace(/\s/g, " ").indexOf(one.quote) : -1;
      return at < 0 ? one.text : [one.text.slice(0, at), h("mark", {}, one.text.slice(at, at + one.quote.length)), one.text.slice(at + one.quote.length)];
    }
    const where = (one, several) => [one.chapter, one.page && t("shelf.find_page", { n: one.page }), several && one.title].filter(Boolean).join(t("list.separator")) || one.title;
    // of several places in one chapter the first names it, the next ones are numbers
    function place(one, several, again) {
      if (one.gone) return h("span", { class: "fine", title: one.text }, t("artefacts.gone"));
      const label = where(one, several);
      const passage = h("blockquote", { class: "artefact-passage", hidden: true }, quoted(one));
      const mark = h("button", { type: "button", class: again ? "place next" : "place", title: one.text, aria: { expanded: "false", ...(again && { label: `${label} ${again}` }) }, data: { document: one.document, start: one.start, end: one.end },
        onclick: () => {
          if (Lectern.reader?.open) {
            const { id, version } = shown;
            box.close();
            Lectern.visit(one.document, { start: one.start, end: one.end }, shown.title, () => open(id, version));
            return;
          }
          passage.hidden = !passage.hidden; mark.setAttribute("aria-expanded", String(!passage.hidden));
        } }, again ? String(again) : label);
      return [mark, passage];
    }
    const places = (item, several = shown.documents.length > 1) => h("span", { class: "places" }, item.evidence.map((one, n, all) => {
      let from = n;
      while (from > 0 && where(all[from - 1], several) === where(one, several)) from -= 1;
      return place(one, several, n > from ? n - from + 1 : 0);
    }));
    const said = (name, item) => { const value = item[name]; return shown.values[name]?.[value] ?? (Array.isArray(value) ? value.join(t("list.separator")) : String(value ?? "")); };
    function doubts(item) {
      const found = [item.unnamed && t("artefacts.unnamed"), item.misquoted && t("artefacts.misquoted", { text: item.misquoted[0] }), item.unsupported && t("artefacts.unsupported", { text: item.unsupported.join(", ") })].filter(Boolean);
      return found.length > 0 && h("p", { class: "fine doubt" }, icon("warning"), found.join(" "));
    }
    const more = (item) => Object.values(item.also || {}).flat().map((text) => h("p", { class: "also" }, text));

    // ---- items on their way
    const writing = h("ul", { class: "artefact-writing" });
    function drawWriting() {
      writing.hidden = !(shown.state === "making" && shown.writing.length);
      writing.replaceChildren(...(writing.hidden ? [] : shown.writing.map((one, number) => h("li", { class: number === shown.writing.length - 1 ? "now" : "" },
        one.quote && h("q", {}, one.quote), one.said.length > 0 && h("p", {}, h("strong", {}, one.said[0]), one.said.length > 1 && " — " + one.said.slice(1).join(" — "))))));
      writing.setAttribute("aria-label", t("artefacts.writing"));
    }

    // ---- views
    // of a comparison: what was found first, the rest behind it
    const CELL = 2;
    function cell(found) {
      const line = (item) => h("p", {}, item.value, " ", places(item, false), doubts(item));
      if (!found.length) return "–";
      return [found.slice(0, CELL).map(line), found.length > CELL && h("details", {}, h("summary", { class: "fine" }, t("artefacts.more", { n: found.length - CELL })), found.slice(CELL).map(line))];
    }
    // a choice says at once whether it is right, and the key opens
    function question(item) {
      const key = h("details", {}, h("summary", {}, t("artefacts.key")), h("p", {}, item.answer), places(item), doubts(item));
      const said = h("span", { class: "fine", role: "status" });
      const choices = [item.answer, ...item.wrong].sort((a, b) => a.localeCompare(b)).map((one) => h("li", {}, h("button", { type: "button", class: "choice", onclick: (event) => {
        const right = one === item.answer;
        event.currentTarget.classList.add(right ? "right" : "wrong");
        said.textContent = t(right ? "artefacts.right" : "artefacts.wrong");
        key.open = key.open || right;
      } }, one)));
      return h("li", {}, h("p", { class: "quiz-question" }, item.question), h("ul", {}, choices), said, key);
    }
    function view() {
      const { items, columns } = shown, names = columns.map((one) => one.name), kind = shown.view;
      if (!items.length) return h("p", { class: "lead" }, t(["making", "stopped"].includes(shown.state) ? "artefacts.nothing_yet" : "artefacts.nothing"));
      if (names.join() === "column,value") {
        const heads = [...new Set([...shown.chosen, ...items.map((one) => one.column)])];
        return h("div", { class: "table-room" }, h("table", { class: "artefact-table" }, h("thead", {}, h("tr", {}, h("th", {}, t("artefacts.document")), heads.map((one) => h("th", {}, one)))),
          h("tbody", {}, shown.documents.map((one) => h("tr", {}, h("th", {}, one.title), heads.map((head) => h("td", {}, cell(items.filter((item) => item.column === head && item.evidence[0]?.document === one.id)))))))));
      }
      if (kind === "table") {
        return h("div", { class: "table-room" }, h("table", { class: "artefact-table" }, h("thead", {}, h("tr", {}, columns.map((one) => h("th", {}, one.label)), h("th", {}, t("artefacts.place")))),
          h("tbody", {}, items.map((item) => h("tr", {}, names.map((name) => h("td", {}, said(name, item))), h("td", {}, places(item), doubts(item)))))));
      }
      if (kind === "text") {
        let chapter = null;
        return h("div", { class: "artefact-text" }, items.map((item) => {
          const now = item.evidence[0]?.chapter || "";
          const head = shown.over === "chapters" && now !== chapter ? h("h3", {}, now) : null;
          chapter = now;
          return [head, h("p", {}, names.map((name) => said(name, item)).join(" "), " ", places(item)), doubts(item)];
        }));
      }
      if (kind === "cards") return h("div", { class: "artefact-cards" }, items.map((item) => h("details", { class: "card" }, h("summary", {}, item.front), h("p", {}, item.back), places(item), doubts(item))));
      if (kind === "quiz") return h("ol", { class: "artefact-quiz" }, items.map(question));
      const [first, ...rest] = kind === "timeline" ? ["when", "what"] : names;
      return h(kind === "timeline" ? "ol" : "ul", { class: `artefact-items ${kind}` }, items.map((item) => h("li", {},
        kind === "graph" ? h("p", {}, h("strong", {}, item.a), ` — ${item.relation} → `, h("strong", {}, item.b)) : [h("strong", { class: "item-head" }, said(first, item)), h("span", {}, rest.map((name) => said(name, item)).join(" — "))],
        more(item), places(item), doubts(item))));
    }

    // ---- editing
    function drawEdit() {
      const names = shown.columns;
      return h("div", { class: "artefact-edit" }, editing.map((item, number) => h("fieldset", {},
        names.map(({ name, label }) => h("label", { class: "artefact-field" }, h("span", {}, label), area(item, name))),
        button("trash", t("artefacts.drop_item"), () => { editing.splice(number, 1); draw(); }))),
      h("div", { class: "artefact-actions" }, h("button", { type: "button", class: "button primary", onclick: save }, t("book.save")), button(null, t("book.cancel"), () => { editing = null; draw(); }, { text: t("book.cancel") })));
    }
    function area(item, name) {
      const value = item[name], many = Array.isArray(value), numeric = typeof value === "number";
      const box = h("textarea", { rows: 2, class: "text-box", data: { field: name }, oninput: () => {
        item[name] = many ? box.value.split("\n").filter((one) => one.trim()) : numeric ? parseInt(box.value, 10) || value : box.value;
      } });
      box.value = many ? value.join("\n") : String(value ?? "");
      return box;
    }
    async function save() {
      const items = editing.map((item) => ({ ...item, evidence: item.evidence.map(({ document, start, end, text, quote }) => ({ document, start, end, text, quote })) }));
      if (busy) return;
      busy = true;
      const answer = await call("act", { id: shown.id, do: "edit", version: shown.version, items });
      busy = false;
      show(answer);
    }

    // ---- comparing
    async function compare(before) {
      if (!before) { compared = null; draw(); return; }
      const answer = await call("compare", { id: shown.id, before: Math.min(before, shown.version), after: Math.max(before, shown.version) });
      if (answer.added) { compared = { ...answer, before }; draw(); }
    }
    function drawCompare() {
      const line = (item) => shown.columns.map(({ name }) => item[name]).filter((one) => typeof one === "string" || typeof one === "number").join(" — ");
      const rows = [
        ...compared.removed.map((item) => h("li", { class: "gone" }, h("del", {}, line(item)))), ...compared.added.map((item) => h("li", { class: "come" }, h("ins", {}, line(item)))),
        ...compared.changed.map((pair) => h("li", {}, h("del", {}, line(pair.before)), " ", h("ins", {}, line(pair.after)))),
      ];
      return h("div", { class: "artefact-compare" }, h("p", { class: "fine" }, t("artefacts.compared", { before: compared.before, after: shown.version, same: compared.same })), h("ul", {}, rows.length ? rows : h("li", {}, t("artefacts.same"))));
    }

    // ---- one artefact
    async function save_as(format) {
      const file = await call("file", { id: shown.id, version: shown.version, format, chart: shown.chart });
      if (file.data) Lectern.download(file);
    }
    function toolbar() {
      const others = shown.versions.filter((one) => one.number !== shown.version);
      const more = seat.chosen.filter((id) => !shown.documents.some((one) => one.id === id));
      const named = (one) => t("artefacts.version", { n: one.number }) + (one.made_by === "hand" ? t("artefacts.by_hand") : "");
      return h("div", { class: "artefact-tools" },
        h("select", { class: "order-box versions", aria: { label: t("artefacts.versions") }, onchange: (event) => open(shown.id, Number(event.target.value)) },
          shown.versions.map((one) => h("option", { value: one.number, selected: one.number === shown.version }, named(one)))),
        shown.items.length > 0 && button("pen", t("artefacts.edit"), () => { editing = structuredClone(shown.items); compared = null; draw(); }, { text: t("artefacts.edit"), "data-do": "edit" }),
        shown.state !== "making" && button("again", t("artefacts.again_hint"), () => act("again"), { text: t("artefacts.again"), "data-do": "again" }),
        shown.state !== "making" && more.length > 0 && button("plus", t("artefacts.with_hint", { titles: Lectern.list(more.map((id) => t("title", { title: Lectern.ask("shelf", "titles").get(id) }))) }), () => act("again", { documents: more }), { text: t("artefacts.with", { n: more.length }), "data-do": "with" }),
        others.length > 0 && h("select", { class: "order-box compare", aria: { label: t("artefacts.compare") }, onchange: (event) => compare(Number(event.target.value)) },
          h("option", { value: "" }, t("artefacts.compare")), others.map((one) => h("option", { value: one.number, selected: compared?.before === one.number }, named(one)))),
        shown.formats.length > 0 && h("select", { class: "order-box export", aria: { label: t("artefacts.export") }, onchange: (event) => { const format = event.target.value; event.target.value = ""; if (format) save_as(format); } },
          h("option", { value: "" }, t("artefacts.export")), shown.formats.map((one) => h("option", { value: one }, t("artefacts.format." + one)))),
        sure ? button("trash", t("artefacts.remove_sure", { title: shown.title }), () => act("remove"), { text: t("artefacts.remove_sure", { title: shown.title }), "data-do": "remove" })
          : button("trash", t("artefacts.remove"), () => { sure = true; draw(); setTimeout(() => { sure = false; if (box.open && mode === "show" && !editing) draw(); }, 6000); }));
    }
    function progress() {
      const { done, all } = shown.steps, parts = [];
      if (shown.state === "making") {
        parts.push(h("div", { class: "artefact-progress", role: "status" }, h("p", {}, all ? t("artefacts.progress", { done, all }) : t("artefacts.planning"), shown.running && h("span", { class: "fine" }, " · " + shown.running)),
          h("div", { class: "bar" + (all ? "" : " unsure") }, h("span", { style: all ? { width: (100 * done) / all + "%" } : {} })), button("stop", t("artefacts.stop"), () => act("stop"), { text: t("artefacts.stop"), "data-do": "stop" })));
      } else if (shown.state === "stopped" || (shown.state === "failed" && shown.made_by === "model")) {
        parts.push(h("div", { class: "artefact-progress", role: "status" }, h("p", {}, shown.state === "stopped" ? t("artefacts.stopped", { done, all }) : shown.error ? Lectern.said(shown.error) : t("artefacts.state.failed")),
          button("play", t("artefacts.go_on"), () => act("go_on"), { text: t(shown.state === "stopped" ? "artefacts.go_on" : "artefacts.try_again"), "data-do": "go_on" }),
          shown.failed.map((one) => h("p", { class: "fine" }, `${one.number}. ${one.title} ${Lectern.said(one.error || "")} `, button("again", t("artefacts.try_part"), () => act("step", { step: one.id }), { text: t("artefacts.try_part") })))));
      }
      if (shown.partial && shown.items.length) parts.push(h("p", { class: "fine" }, t("artefacts.partial")));
      return parts;
    }
    // what its documents have by now that it does not know of
    function behind() {
      if (!shown.behind.length || shown.version !== shown.latest || shown.state === "making") return null;
      return h("div", { class: "artefact-behind", role: "status" }, h("ul", {}, shown.behind.map((one) => h("li", {}, icon("warning"), t(`artefacts.behind.${one.kind === "grown" && one.chapters ? "chapters" : one.kind}`, { title: one.title, n: one.chapters })))),
        h("button", { type: "button", class: "button primary", data: { do: "renew" }, onclick: () => act("again") }, t("artefacts.again")), h("span", { class: "fine" }, t("artefacts.behind_kept")));
    }
    function drawShow() {
      const name = h("input", { class: "artefact-rename", value: shown.title, maxlength: 120, aria: { label: t("artefacts.rename") },
        onchange: () => { if (name.value.trim() && name.value !== shown.title) act("rename", { title: name.value }); },
        onkeydown: (event) => { if (event.key === "Enter") name.blur(); } });
      title.replaceChildren(name);
      const drawing = shown.drawing && !editing && !compared && h("figure", { class: "artefact-drawing" },
        h("figcaption", {}, h("select", { class: "order-box charts", aria: { label: t("artefacts.chart") }, onchange: (event) => redraw(event.target.value) },
          shown.charts.map((one) => h("option", { value: one, selected: one === shown.chart }, t("artefacts.chart." + one)))),
        ["svg", "png"].map((format) => button("download", t("artefacts.format." + format), () => save_as(format), { text: format.toUpperCase(), "data-do": format }))),
        h("div", { class: "drawing-room" }, h("img", { src: "data:image/svg+xml;base64," + shown.drawing, alt: t("artefacts.drawing") + t("list.separator") + t("artefacts.chart." + shown.chart) })));
      const lead = shown.view === "graph" || shown.view === "timeline";
      const top = body.querySelector(".artefact-page")?.scrollTop || 0;
      body.replaceChildren(h("div", { class: "artefact-page" }, h("p", { class: "fine" }, shown.documents.map((one) => one.title).join(t("list.separator")), shown.model ? ` · ${Lectern.modelTitle?.(shown.model) || shown.model}` : ""),
        toolbar(), behind(), progress(), writing, lead && drawing, editing ? drawEdit() : compared ? drawCompare() : view(), !lead && drawing));
      drawWriting();
      body.firstChild.scrollTop = top;
    }

    function draw() {
      cross.replaceChildren(button("close", t("dialog.close"), () => box.close()));
      if (mode === "make" || !shown) drawMake(); else drawShow();
    }
    // drawings have words too
    const relabel = () => { drawList(); if (box.open) { draw(); if (mode === "show" && shown && !editing) redraw(chart); } };
    drawList();
    Lectern.arrived.then(() => look().then(follow));
    return { relabel, update() {}, make: choose, open, look };
  });
})();
