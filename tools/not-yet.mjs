// Answers the commands whose room is not built yet: a clear word and a non-zero exit, never a silent success.
const command = process.argv[2] ?? "this command";
console.error(`pageferry: not yet: \`npm run ${command}\` has nothing to run in this version.`);
process.exitCode = 1;
