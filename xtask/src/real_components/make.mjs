import { componentize } from "@bytecodealliance/componentize-js";
import { readFile, writeFile } from "node:fs/promises";
const { component } = await componentize(await readFile(process.argv[2], "utf8"), { witPath: process.argv[3], worldName: "app" });
await writeFile(process.argv[4], component);
