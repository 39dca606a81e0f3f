// A GraphQL gateway over weft: GraphQL Mesh makes the schema from the output of "weft openapi", and GraphQL Yoga serves
// it. What a query selects becomes the parameter of the rule's select, so that a query such as
//
//     { user(id: 7) { username extension { tags } } }
//
// is one request to Envoy, GET /api/v1/users/7?fields=username,extension.tags.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { loadGraphQLSchemaFromOpenAPI } from "@omnigraph/openapi";
import { createYoga } from "graphql-yoga";

/** The query parameter of the rules' select. */
const param = "fields";

/**
 * Returns a request handler for node:http. The description is the output of weft openapi, url that of Envoy.
 * onRequest, if not undefined, is called with the URL of each request to Envoy.
 */
export async function createGateway(description, url, onRequest = () => {}) {
  const known = selectable(JSON.parse(description));
  const schema = await loadGraphQLSchemaFromOpenAPI("weft", {
    // GraphQL's Int has 32 bits. BigInt has 64; beyond 2^53 JavaScript rounds.
    source: JSON.parse(description, (_, value) => (value?.type === "integer" ? { ...value, format: "int64" } : value)),
    endpoint: url,
    fetch: (target, options, _context, info) => {
      const selecting = new URL(target);
      if (info) {
        selecting.searchParams.set(param, selectedNames(info, known).join(","));
      }
      onRequest(selecting);
      return fetch(selecting, options);
    },
  });
  return createYoga({ schema, logging: "warn", landingPage: false });
}

/** Returns the names of members and fields in a description. */
function selectable(description) {
  const parameters = Object.values(description.paths).flatMap((path) =>
    Object.values(path).flatMap((operation) => operation.parameters ?? []),
  );
  return new Set(parameters.filter(({ name }) => name === param).flatMap(({ schema }) => schema.items.examples));
}

/** Returns the names that a query selects. Of what is deeper than the known names, the whole member is selected. */
export function selectedNames(info, known) {
  const names = new Set();
  const visit = (selections, parents) => {
    for (const selection of selections) {
      if (selection.kind === "FragmentSpread") {
        visit(info.fragments[selection.name.value].selectionSet.selections, parents);
      } else if (selection.kind === "InlineFragment") {
        visit(selection.selectionSet.selections, parents);
      } else if (selection.name.value !== "__typename") {
        const path = [...parents, selection.name.value];
        if (selection.selectionSet) {
          visit(selection.selectionSet.selections, path);
        } else {
          const depth = path.findLastIndex((_, i) => known.has(path.slice(0, i + 1).join(".")));
          names.add(path.slice(0, Math.max(depth, 0) + 1).join("."));
        }
      }
    }
  };
  info.fieldNodes.forEach((field) => visit(field.selectionSet.selections, []));
  return [...names];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const url = process.env.WEFT_URL ?? "http://127.0.0.1:10000";
  const port = Number(process.env.GRAPHQL_PORT ?? 4000);
  const gateway = await createGateway(await readFile(process.argv[2] ?? "openapi.json", "utf8"), url);
  createServer(gateway).listen(port, "127.0.0.1", () => {
    console.log(`GraphQL: http://127.0.0.1:${port}/graphql, for example { user(id: 7) { username extension { tags } } }`);
  });
}
