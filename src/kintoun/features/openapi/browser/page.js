"use strict";
(() => {
  const METHODS = ["get", "head", "post", "put", "patch", "delete"];
  const main = document.getElementById("main");
  const index = document.getElementById("index");
  let api, operations;

  /* An element: its text children are always text, never markup. */
  function el(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  /* Prose with `code`, **strong** and blank lines, as the document's descriptions have it. */
  function prose(text) {
    const inline = (part) => part.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
      if (piece.startsWith("`") && piece.length > 2) return el("code", null, piece.slice(1, -1));
      if (piece.startsWith("**")) return el("strong", null, piece.slice(2, -2));
      return piece;
    });
    return String(text || "").split(/\n\s*\n/).filter(Boolean).map((part) => el("p", null, ...inline(part)));
  }

  function resolve(part) {
    while (part && part.$ref) part = part.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
    return part || {};
  }

  function typeOf(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    const either = schema.oneOf || schema.anyOf;
    if (either) return either.map(typeOf).join(" | ");
    if (schema.type === "array") return `${typeOf(schema.items || {})}[]`;
    return [].concat(schema.type || "any").join(" | ");
  }

  /* An example of what a schema describes. */
  function sample(schema, depth = 0) {
    schema = resolve(schema);
    if (depth > 6) return {};
    if (schema.const !== undefined) return schema.const;
    if (schema.enum) return schema.enum[0];
    if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => sample(part, depth + 1)));
    const either = schema.oneOf || schema.anyOf;
    if (either) return sample(either[0], depth + 1);
    switch ([].concat(schema.type || (schema.properties ? "object" : ""))[0]) {
      case "object": return Object.fromEntries(
        Object.entries(schema.properties || {}).map(([name, part]) => [name, sample(part, depth + 1)]));
      case "array": return [sample(schema.items || {}, depth + 1)];
      case "integer": case "number": return schema.minimum > 0 ? schema.minimum : 0;
      case "boolean": return true;
      case "string": return "…";
      default: return null;
    }
  }

  function code(value) {
    return el("pre", null, el("code", null, typeof value === "string" ? value : JSON.stringify(value, null, 2)));
  }

  function limits(schema) {
    schema = resolve(schema);
    const said = [["pattern", "matches"], ["minimum", "≥"], ["maximum", "≤"], ["maxLength", "characters ≤"],
      ["maxItems", "items ≤"], ["default", "default"]];
    return said.filter(([key]) => schema[key] !== undefined).map(([key, word]) => `${word} ${schema[key]}`).join(", ");
  }

  function row(name, schema, description, tags) {
    return el("tr", null,
      el("td", null, el("code", null, name), ...tags.map((tag) => el("span", { class: "tag" }, tag))),
      el("td", null, ...prose(description), el("p", { class: "quiet" }, el("code", null, typeOf(schema)), " ", limits(schema))));
  }

  function table(rows) {
    return el("table", null, el("tbody", null, ...rows));
  }

  function part(title, ...children) {
    return [el("h2", { class: "part" }, title), ...children];
  }

  function fieldsOf(schema) {
    schema = resolve(schema);
    const required = schema.required || [];
    const rows = Object.entries(schema.properties || {}).map(([name, inner]) =>
      row(name, inner, resolve(inner).description, required.includes(name) ? ["required"] : []));
    return rows.length ? [table(rows)] : [];
  }

  function bodies(content) {
    return Object.entries(content || {}).flatMap(([type, media]) => [
      el("p", null, el("code", null, type)),
      ...(media.schema ? [...fieldsOf(media.schema), code(sample(media.schema))] : []),
    ]);
  }

  function response(status, given) {
    const answer = resolve(given);
    const headers = Object.entries(answer.headers || {}).map(([name, ref]) => {
      const header = resolve(ref);
      return row(name, header.schema || {}, header.description, header.required ? [] : ["optional"]);
    });
    return el("details", status.startsWith("2") ? { open: "" } : null,
      el("summary", null, el("span", { class: `status s${status[0]}` }, status), el("span", null, answer.description || "")),
      el("div", null, ...bodies(answer.content), headers.length ? table(headers) : null));
  }

  function curl(item) {
    const lines = [`curl -i -X ${item.method.toUpperCase()} "${location.origin}${item.url.replace(/[{]/g, "$").replace(/[}]/g, "")}"`];
    if (api.components.securitySchemes && api.components.securitySchemes.basic) lines.push('-u "$user:$password"');
    const content = item.operation.requestBody && item.operation.requestBody.content["application/json"];
    if (content) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(sample(content.schema))}'`);
    return lines.join(" \\\n  ");
  }

  function show(item) {
    const { operation, path } = item;
    const parameters = [...(path.parameters || []), ...(operation.parameters || [])].map(resolve);
    const responses = Object.entries(operation.responses).map(([status, given]) => response(status, given));
    main.replaceChildren(
      el("h1", null, operation.summary || operation.operationId),
      el("div", { class: "endpoint" }, el("span", { class: `method ${item.method}` }, item.method.toUpperCase()),
        el("span", { class: "url" }, item.url)),
      ...prose(operation.description),
      ...(parameters.length ? part("Parameters", table(parameters.map((given) =>
        row(given.name, given.schema, given.description,
          [given.in, ...(given.required ? ["required"] : []), ...(given.deprecated ? ["deprecated"] : [])])))) : []),
      ...(operation.requestBody ? part("Body", ...bodies(operation.requestBody.content)) : []),
      ...part("By hand", code(curl(item))),
      ...part("Answers", ...responses));
  }

  function overview() {
    main.replaceChildren(
      el("h1", null, `${api.info.title} — HTTP API ${api.info.version}`),
      ...prose(api.info.description),
      el("p", null, el("a", { href: "../__api__" }, `OpenAPI ${api.openapi} document`), " · ",
        el("a", { href: (api.externalDocs || {}).url || "#", rel: "noreferrer" }, "Documentation")),
      ...api.tags.flatMap((tag) => part(tag.name, table(operations.filter((item) => item.tag === tag.name).map((item) =>
        el("tr", null, el("td", null, el("a", { href: `#${item.id}` }, el("span", { class: `method ${item.method}` },
          item.method.toUpperCase()))), el("td", null, el("code", null, item.url), ...prose(item.operation.summary))))))));
  }

  function list(filter) {
    const wanted = filter.trim().toLowerCase();
    const fits = (item) => `${item.method} ${item.url} ${item.operation.summary || ""}`.toLowerCase().includes(wanted);
    index.replaceChildren(...api.tags.flatMap((tag) => {
      const found = operations.filter((item) => item.tag === tag.name && fits(item));
      if (!found.length) return [];
      return [el("h2", null, tag.name), ...found.map((item) => el("a",
        { class: "operation", href: `#${item.id}`, ...(location.hash === `#${item.id}` ? { "aria-current": "page" } : {}) },
        el("span", { class: `method ${item.method}` }, item.method.toUpperCase()),
        el("span", null, item.operation.summary || item.url)))];
    }));
  }

  function route() {
    const item = operations.find((found) => `#${found.id}` === location.hash);
    if (item) show(item); else overview();
    list(document.getElementById("search").value);
    scrollTo(0, 0);
  }

  fetch("../__api__").then((answer) => {
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    return answer.json();
  }).then((document_) => {
    api = document_;
    operations = Object.entries(api.paths).flatMap(([url, path]) => METHODS.filter((method) => path[method]).map((method) =>
      ({ url: api.servers[0].url + url, path, method, operation: path[method], id: path[method].operationId,
        tag: path[method].tags[0] })));
    document.title = document.getElementById("title").textContent = `${api.info.title} API`;
    document.getElementById("search").addEventListener("input", (event) => list(event.target.value));
    addEventListener("hashchange", () => { route(); main.focus(); });
    route();
  }).catch((problem) => main.replaceChildren(el("h1", null, "The document cannot be shown"), ...prose(problem.message)));
})();
