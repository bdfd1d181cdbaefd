// the writing desk: a draft beside the books, and what a model writes for it to be chosen from
(() => {
  const { h, t, icon, button, keyed, seat, store } = Lectern;
  const words = (said) => said?.[Lectern.language()] ?? said?.en ?? "";
  const SAVE = 700, POLL = 800;
  // places are counted in code points where the text is kept, in UTF-16 units here
  const points = (text, units) => [...text.slice(0, units)].length;
  const units = (text, points) => [...text].slice(0, points).join("").length;

  Lectern.panel("writing", (root, send, gradio) => {
    let drafts = null, tasks = [], draft = null, task = "continue", job = null, live = "", picked = new Set(), passages = [], saving = null, unsaved = false, sure = false, busy = false, folded = null, count = 2;
    const wishes = {}; // by task: what was asked for last
    const heading = h("h2", { id: "drafts-heading" });
    const fresh = h("span", {});
    const list = h("ul", { class: "artefact-list", aria: { labelledby: "drafts-heading" } });
    root.append(h("section", { class: "artefacts drafts" }, h("div", { class: "panel-head" }, heading, fresh), list));

    // what was written last, side by side under the draft
    const choice = h("section", { class: "draft-choice", hidden: true });
    const title = h("input", { class: "artefact-rename", maxlength: 120, onchange: () => change({ title: title.value }), onkeydown: (event) => { if (event.key === "Enter") title.blur(); } });
    const status = h("span", { class: "fine draft-status", role: "status" });
    const cross = h("span", {}), tools = h("div", { class: "artefact-tools draft-tools" });
    const area = h("textarea", { class: "draft-text", spellcheck: "true", oninput: () => { unsaved = true; hold(); later(); mark(); }, onselect: () => mark(), onkeyup: () => mark(), onclick: () => mark() });
    const side = h("div", { class: "draft-side" });
    const box = h("dialog", { class: "dialog draft", aria: { label: "draft" }, onclose: () => { flush(); look(); } },
      h("header", { class: "dialog-head" }, h("h2", {}, title), status, cross), h("div", { class: "draft-body" }, h("div", { class: "draft-page" }, tools, area, choice), side));
    root.append(box);

    async function call(name, said = {}) {
      try {
        await Lectern.arrived;
        const answer = (await gradio.server[name]({ visitor: seat.visitor, language: Lectern.language(), id: draft?.id, ...said })) || {};
        if (answer.note) Lectern.say("notes", "show", answer.note);
        return answer;
      } catch (error) {
        console.warn("lectern: the writing desk was not answered", error);
        return { lost: true };
      }
    }

    // ---- the list
    async function look() {
      const answer = await call("look");
      if (answer.tasks) tasks = answer.tasks;
      if (answer.drafts) { drafts = answer.drafts; drawList(); }
    }
    function drawList() {
      heading.textContent = t("writing.heading");
      fresh.replaceChildren(button("pen", t("writing.new"), begin, { text: t("writing.new") }));
      const rows = (drafts || []).map((one) => [one.id, one]);
      keyed(list, rows.length ? rows : [["none", null]], (one) => one === null ? h("li", { class: "fine artefact-none" }, t("writing.none"))
        : h("li", {}, h("button", { type: "button", class: "artefact-row", data: { focus: "open" }, onclick: () => open(one.id) }, h("span", { class: "artefact-name" }, one.title), h("span", { class: "state" }, t("writing.characters", { n: one.characters })))));
    }

    // ---- a draft
    async function begin() { show(await call("begin", { title: "", documents: seat.chosen })); }
    async function open(id) { show(await call("look_in", { id })); }
    function show(answer) {
      if (!answer.id) return;
      const again = draft?.id === answer.id;
      draft = answer;
      // what this browser could not hand over before it was closed
      const held = store.read("localStorage", "draft." + draft.id);
      if (!again && held && held.text !== draft.text && held.base === draft.revision) { draft.text = held.text; unsaved = true; later(); }
      if (!again) { for (const name of Object.keys(wishes)) delete wishes[name]; picked = new Set(); passages = []; live = ""; folded = answer.options.at(-1)?.job ?? null; }
      if (area.value !== draft.text) area.value = draft.text;
      if (draft.job && job !== draft.job) { job = draft.job; follow(); }
      draw();
      if (!box.open) { box.showModal(); area.focus(); area.setSelectionRange(area.value.length, area.value.length); }
      mark();
    }
    const hold = () => store.write("localStorage", "draft." + draft.id, { text: area.value, base: draft.revision });
    function later() { clearTimeout(saving); saving = setTimeout(flush, SAVE); tell("writing.unsaved"); }
    async function flush() {
      clearTimeout(saving);
      if (!draft || !unsaved) return true;
      unsaved = false;
      const text = area.value, answer = await call("save", { text, base: draft.revision });
      if (answer.revision === undefined) { unsaved = true; tell("writing.not_saved"); saving = setTimeout(flush, 4 * SAVE); return false; }
      draft.revision = answer.revision;
      draft.text = text;
      if (area.value === text) { window.localStorage && store.write("localStorage", "draft." + draft.id, null); tell("writing.saved"); } else { hold(); later(); }
      return true;
    }
    let told = null; // the key of what is said beside the title
    const tell = (key) => { told = key; status.textContent = key ? t(key) : ""; };
    async function change(said) { if (!(await flush())) return; show(await call("change", said)); }
    window.addEventListener("pagehide", () => { if (draft && unsaved) hold(); });

    // ---- tasks
    const now = () => tasks.find((one) => one.id === task) || tasks[0];
    function mark() {
      const chosen = area.selectionEnd > area.selectionStart;
      const line = side.querySelector(".draft-where");
      // a text field that is left shows no selection
      const words = area.value.slice(area.selectionStart, area.selectionEnd).trim(), short = words.length > 90 ? `${words.slice(0, 50)} … ${words.slice(-30)}` : words;
      if (line) line.replaceChildren(...(chosen ? [t("writing.selected", { n: points(words, 1e9) }), " ", h("q", {}, short)] : now()?.needs === "passages" ? [] : [t(["bible", "check"].includes(task) ? "writing.whole" : "writing.at_cursor")]));
      const go = side.querySelector("[data-do=write]");
      if (go) go.disabled = busy || job !== null || (now()?.needs === "selection" && !chosen);
    }
    async function write(more = {}) {
      if (busy || job !== null) return;
      busy = true;
      const from = area.selectionStart, to = area.selectionEnd;
      if (!(await flush())) { busy = false; return; }
      const wish = side.querySelector(".draft-wish")?.value || "";
      const answer = await call("task", { task, wish, start: points(area.value, from), end: points(area.value, to), versions: Number(side.querySelector(".draft-versions")?.value) || 1, passages, ...more });
      busy = false;
      if (answer.job) { picked = new Set(); job = answer.job; live = ""; draw(); follow(); } else mark();
    }
    async function follow(stop = false) {
      const mine = job, id = draft.id;
      const answer = await call("follow", { job: mine, stop });
      if (job !== mine || draft.id !== id) return;
      if (answer.options) { draft.options = answer.options; live = answer.writing; }
      if (answer.bible) { draft.bible = answer.bible; draft.style = answer.style; }
      if (answer.state && answer.state !== "waiting" && answer.state !== "running") {
        job = null; live = "";
        if (answer.error) Lectern.say("notes", "show", { kind: "error", text: answer.error });
      }
      drawOptions();
      if (job === null) draw(); else setTimeout(() => { if (job === mine) follow(); }, POLL);
    }
    async function choose(one) {
      if (!(await flush())) return;
      picked = new Set();
      const answer = await call("choose", { option: one.id });
      if (!answer.id) return;
      area.value = answer.text;
      show(answer);
      // where it stands now
      const at = area.value.indexOf(one.text.trim());
      if (at >= 0) reveal(at, at + one.text.trim().length);
    }
    async function addPassage(field) {
      const found = await call("passage", { text: field.value, documents: draft.documents.length ? draft.documents : seat.chosen });
      if (found.document) { passages.push(found); field.value = ""; draw(); }
    }
    // one that was selected in the reader: for the draft at hand, the latest one, or a new one
    async function style(passage) {
      const id = draft?.id ?? drafts?.[0]?.id;
      show(id ? await call("look_in", { id }) : await call("begin", { title: "", documents: seat.chosen.length ? seat.chosen : [passage.document] }));
      if (!draft) return;
      task = "style";
      if (!passages.some((one) => one.document === passage.document && one.start === passage.start && one.end === passage.end)) passages.push(passage);
      draw();
    }
    function drawTask() {
      const what = now();
      if (!what) return null;
      const groups = [["writes", tasks.filter((one) => !one.lists && one.needs !== "options")], ["lists", tasks.filter((one) => one.lists)]];
      const chooser = h("select", { class: "order-box draft-task", aria: { label: t("writing.task") }, onchange: () => { task = chooser.value; draw(); } },
        groups.map(([name, found]) => h("optgroup", { label: t("writing." + name) }, found.map((one) => h("option", { value: one.id, selected: one.id === task }, words(one.title))))));
      const find = h("input", { class: "text-box", placeholder: t("writing.passage"), aria: { label: t("writing.passage") }, onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); addPassage(find); } } });
      const small = Lectern.modelNow?.();
      return h("section", { class: "draft-ask" }, h("div", { class: "draft-row" }, chooser,
        !what.lists && h("select", { class: "order-box draft-versions", aria: { label: t("writing.versions") }, onchange: (event) => { count = Number(event.target.value); } }, [1, 2, 3, 4].map((n) => h("option", { value: n, selected: n === count }, t("writing.version_count", { n }))))),
      what.wish && h("input", { class: "text-box draft-wish", value: wishes[task] || "", oninput: (event) => { wishes[task] = event.target.value; }, placeholder: words(what.wish), aria: { label: words(what.wish) } }),
      what.needs === "passages" && [h("ul", {}, passages.map((one, n) => h("li", { class: "fine draft-passage" }, one.text.length > 120 ? one.text.slice(0, 120) + "…" : one.text, button("close", t("artefacts.drop_item"), () => { passages.splice(n, 1); draw(); })))), h("div", { class: "draft-row" }, find, button("plus", t("writing.add_passage"), () => addPassage(find)))],
      h("p", { class: "fine draft-where" }),
      h("div", { class: "draft-row" }, h("button", { type: "button", class: "button primary", data: { do: "write" }, onclick: () => write() }, t("writing.write")),
        job !== null && button("stop", t("artefacts.stop"), () => follow(true), { text: t("artefacts.stop") })),
      small?.small && h("p", { class: "fine artefact-warning" }, t("writing.small", { title: small.title, better: small.better || t("artefacts.larger") })));
    }
    function goto(place) {
      let from = units(area.value, place.start), to = units(area.value, place.end);
      // the draft may have changed since: the words count, not where they stood
      if (place.text && area.value.slice(from, to) !== place.text) {
        from = area.value.indexOf(place.text);
        if (from < 0) { Lectern.say("notes", "show", { kind: "info", key: "note.place_changed" }); return; }
        to = from + place.text.length;
      }
      reveal(from, to);
    }
    function reveal(from, to) {
      area.focus();
      area.setSelectionRange(from, to);
      area.scrollTop = Math.max(0, (from / Math.max(1, area.value.length)) * area.scrollHeight - area.clientHeight / 3);
      mark();
    }
    function known(one) {
      if (!one) return null;
      return one.document && Lectern.reader?.open
        ? h("button", { type: "button", class: "place", title: one.text, onclick: () => { const { id, title: name } = draft; box.close(); Lectern.visit(one.document, { start: one.start, end: one.end }, name, () => open(id)); } }, one.title || one.text)
        : h("span", { class: "fine" }, one.text);
    }
    // an outline's chapter is divided into scenes, a scene is written: where its heading stands, if it does
    function goOn(next, one) {
      const wish = `${one.title}: ${one.happens}`;
      const at = area.value.indexOf(`# ${one.title}\n`);
      if (at >= 0) {
        const after = area.value.slice(at + 2).search(/^#/m);
        const end = after < 0 ? area.value.length : at + 2 + after;
        const place = at + 2 + area.value.slice(at + 2, end).trimEnd().length - 2;
        area.setSelectionRange(place + 2, place + 2);
      } else area.setSelectionRange(area.value.length, area.value.length);
      task = next;
      wishes[task] = wish;
      draw();
      write();
    }
    const NEXT = { outline: "chapter", chapter: "scene" };
    function item(one, of) {
      const rest = Object.entries(one).filter(([name]) => !["place", "known", "source"].includes(name)).map(([, value]) => value);
      const next = NEXT[of];
      return h("li", {}, rest.length > 1 ? h("strong", {}, rest.shift()) : rest.shift(), rest.length > 0 && " — " + rest.join(" — "), " ", one.place && h("button", { type: "button", class: "place", title: one.place.text, onclick: () => goto(one.place) }, t("writing.in_draft")), " ", known(one.known),
        next && h("button", { type: "button", class: "place", data: { do: next }, onclick: () => goOn(next, one) }, t("writing.next." + next)));
    }
    const optionBox = h("div", { class: "draft-options" });
    const choiceBox = h("div", { class: "draft-options abreast", aria: { live: "polite" } });
    function card(one) {
      const uses = one.text && !["style", "bible", "check"].includes(one.task);
      return h("article", { class: "option" + (one.chosen ? " chosen" : ""), data: { option: one.id } }, h("header", { class: "fine" }, words(tasks.find((each) => each.id === one.task)?.title) + ` ${one.number}`, one.chosen && icon("check")),
        h("div", { class: "option-text", tabindex: "0" }, one.items.length ? h("ul", {}, one.items.map((each) => item(each, one.task))) : h("p", {}, one.text || t("writing.agrees"))),
        h("footer", {}, uses && button("check", t("writing.use"), () => choose(one), { text: t("writing.use"), "data-focus": "use" }),
          !one.items.length && one.text && h("label", { class: "fine" }, h("input", { type: "checkbox", checked: picked.has(one.id), onchange: (event) => { if (event.target.checked) picked.add(one.id); else picked.delete(one.id); drawOptions(); } }), " ", t("writing.merge_this"))));
    }
    function drawOptions() {
      const latest = draft.options.at(-1)?.job;
      const now = job ?? (latest === folded ? null : latest);
      const abreast = draft.options.filter((one) => one.job === now), rest = [...draft.options].reverse().filter((one) => one.job !== now).slice(0, 12);
      const cards = abreast.map((one) => [one.id, { one, on: picked.has(one.id) }]);
      if (job !== null) cards.push(["live", { live: live || t("writing.reading") }]);
      keyed(choiceBox, cards, ({ one, live: text }) => (text !== undefined ? h("article", { class: "option live" }, h("p", {}, text)) : card(one)));
      keyed(optionBox, rest.map((one) => [one.id, { one, on: picked.has(one.id) }]), ({ one }) => card(one));
      said.textContent = t(abreast.length > 1 || picked.size ? "writing.choose" : job === null ? "writing.written" : "writing.reading");
      choice.hidden = cards.length === 0 && picked.size < 2;
      earlier.hidden = rest.length === 0;
      merge.hidden = picked.size < 2 || job !== null;
    }
    const said = h("h3", {});
    const earlier = h("h3", { class: "fine", hidden: true });
    const merge = h("span", { hidden: true });
    function drawBible() {
      const rows = draft.bible.map((one, n) => h("li", { class: "bible-row" },
        h("select", { class: "order-box", aria: { label: t("writing.kind") }, onchange: (event) => { one.kind = event.target.value; change({ bible: draft.bible }); } }, ["person", "place", "fact"].map((kind) => h("option", { value: kind, selected: kind === one.kind }, t("writing.kind." + kind)))),
        h("input", { class: "text-box", value: one.name, aria: { label: t("writing.name") }, onchange: (event) => { one.name = event.target.value; change({ bible: draft.bible }); } }),
        h("input", { class: "text-box wide", value: one.fact, aria: { label: t("writing.fact") }, onchange: (event) => { one.fact = event.target.value; change({ bible: draft.bible }); } }),
        one.place ? h("button", { type: "button", class: "place", title: one.place.text, onclick: () => goto(one.place) }, t("writing.in_draft")) : h("span", {}),
        button("close", t("artefacts.drop_item"), () => change({ bible: draft.bible.filter((_, at) => at !== n) }))));
      const style = h("textarea", { class: "text-box", rows: 5, aria: { label: t("writing.style") }, placeholder: t("writing.style_hint"), onchange: () => change({ style: style.value }) });
      style.value = draft.style;
      return h("details", { class: "draft-known", open: store.read("localStorage", "bible") === true, ontoggle: (event) => store.write("localStorage", "bible", event.target.open) }, h("summary", {}, t("writing.bible", { n: draft.bible.length })), h("h3", {}, t("writing.style")), style, h("h3", {}, t("writing.settled")), h("ul", {}, rows),
        button("plus", t("writing.add_entry"), () => { draft.bible.push({ kind: "person", name: "", fact: "" }); drawSide(); }, { text: t("writing.add_entry") }));
    }
    function drawSide() {
      merge.replaceChildren(button("copy", t("writing.merge"), () => { const options = [...picked]; picked = new Set(); write({ task: "merge", options }); }, { text: t("writing.merge") }));
      earlier.textContent = t("writing.earlier");
      choice.replaceChildren(h("header", {}, said, merge, job === null && button("close", t("writing.fold"), () => { folded = draft.options.at(-1)?.job ?? null; drawOptions(); })), choiceBox);
      side.replaceChildren(...[drawTask(), drawBible(), earlier, optionBox].filter(Boolean));
      drawOptions();
      mark();
    }
    async function file(format) {
      await flush();
      const made = await call("file", { format });
      if (made.data) Lectern.download(made);
    }
    function draw() {
      title.value = draft.title;
      title.setAttribute("aria-label", t("artefacts.rename"));
      area.placeholder = t("writing.placeholder");
      area.setAttribute("aria-label", t("writing.text"));
      box.setAttribute("aria-label", draft.title || t("writing.heading"));
      cross.replaceChildren(button("close", t("dialog.close"), () => box.close()));
      const why = (one) => (Lectern.known("writing.why." + one.why) ? t("writing.why." + one.why) : words(tasks.find((each) => each.id === one.why)?.title) || one.why);
      tools.replaceChildren(...[
        h("select", { class: "order-box versions", aria: { label: t("artefacts.versions") }, onchange: (event) => { const restore = Number(event.target.value); event.target.value = ""; if (restore) change({ restore }); } },
          h("option", { value: "" }, t("writing.restore")), draft.versions.map((one) => h("option", { value: one.number }, `${one.number} · ${Lectern.when(one.created)} · ${why(one)} · ${t("writing.characters", { n: one.characters })}`))),
        h("select", { class: "order-box export", aria: { label: t("artefacts.export") }, onchange: (event) => { const format = event.target.value; event.target.value = ""; if (format) file(format); } },
          h("option", { value: "" }, t("artefacts.export")), ["md", "docx", "epub"].map((one) => h("option", { value: one }, t("writing.format." + one)))),
        sure ? button("trash", t("writing.remove_sure"), async () => { const answer = await call("change", { remove: true }); if (answer.removed) { draft = null; unsaved = false; box.close(); } }, { text: t("writing.remove_sure") })
          : button("trash", t("writing.remove"), () => { sure = true; draw(); setTimeout(() => { sure = false; if (draft && box.open) draw(); }, 6000); }),
      ]);
      drawSide();
    }
    drawList();
    Lectern.arrived.then(look);
    return { relabel() { drawList(); tell(told); if (draft && box.open) draw(); }, update() {}, open, style };
  });
})();
