// Checks AsyncAPI documents with the AsyncAPI project's own parser, each a file. That a newer version of AsyncAPI exists
// is no fault.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
let faults = 0;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(file, "utf8"));
  const wrong = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
  for (const { code, path, message } of wrong) console.log(`${file}: ${path.join(".")}: ${message} (${code})`);
  faults += wrong.length + (document ? 0 : 1);
  if (document) console.log(`${file}: ${document.channels().length} channels, ${document.messages().length} messages`);
}
process.exit(faults === 0 ? 0 : 1);
