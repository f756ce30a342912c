// Prints one line of JSON: the outcome of every server audit of graphql-http, by id.
//   node audits.mjs http://127.0.0.1:8000/graphql

import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
console.log(JSON.stringify(results.map(({ id, name, status, reason = null }) => ({ id, name, status, reason }))));
