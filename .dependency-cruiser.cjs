// The house's dependency direction (every arrow points at what it may import):
//   assembly ← engine ← wire, policies ← rounds, paging, handover, epochs ← techniques ← index, deno, cli
// Ports are types that everyone may name. Guests, links and platform implement ports; nothing below index and cli names
// them (but the lab, which runs its own link, and platform, which runs links over its sockets).
// Each rule's comment is the way out: what to do instead of the import it forbids.

const ROOM = (...names) => `^bindings/(${names.join("|")})(/|\\.ts$)`;
const MIDDLE = ["rounds", "paging", "handover", "epochs"];
const TECHNIQUES = ["migration", "ballooning", "snapshot", "replication", "planning"];
const COMPOSED = ["network-snapshot", "rejuvenation"];

/** A room may import itself and the rooms named; every other file of bindings/ is out of its reach. */
const only = (name, rooms, allowed, comment) => ({
	name,
	comment,
	severity: "error",
	from: { path: ROOM(...rooms) },
	to: { path: "^bindings/", pathNot: ROOM(...rooms, ...allowed) },
});

const WORKER = "^bindings/platform/.*-worker\\.ts$";
const LAYERS = [
	"engine",
	"ports",
	"wire",
	"policies",
	...MIDDLE,
	...TECHNIQUES,
	...COMPOSED,
	"links",
	"network",
	"lab",
];
const KNOWN = [ROOM(...LAYERS, "guests", "platform", "cli"), "^bindings/(index|deno)\\.ts$"];

const PEER = "^bindings/guests/v86/package\\.ts$";

module.exports = {
	forbidden: [
		...[
			{ from: { path: "^bindings/", pathNot: KNOWN }, to: {} },
			{ from: {}, to: { path: "^bindings/", pathNot: KNOWN } },
		].map((sides, side) => ({
			name: `room-without-rules-${side === 0 ? "imports" : "is-imported"}`,
			comment: "a new room gets its place in this file first",
			severity: "error",
			...sides,
		})),
		only("engine-alone", ["engine"], [], "the engine's handles take and return numbers and arrays; pass them in"),
		only("ports-are-types", ["ports"], ["engine"], "a port names what it needs as a type of its own"),
		only("wire-below", ["wire"], ["engine", "ports"], "bytes in, values out: hand the wire what it must know"),
		only("policies-pure", ["policies"], ["engine", "ports"], "a policy is a pure function of the numbers it is given"),
		only("middle-layer", MIDDLE, ["engine", "ports", "wire", "policies"], "take it as a port or a parameter"),
		only(
			"technique-on-ports",
			TECHNIQUES,
			["engine", "ports", "wire", "policies", ...MIDDLE],
			"a technique never knows whether its guest, link and clock are real: take them as ports",
		),
		...TECHNIQUES.map((technique) => ({
			name: `${technique}-alone`,
			comment: "no technique imports another: what two share belongs in rounds, paging, handover or epochs",
			severity: "error",
			from: { path: ROOM(technique) },
			to: { path: ROOM(...TECHNIQUES.filter((other) => other !== technique)) },
		})),
		only(
			"composed-of-techniques",
			COMPOSED,
			["engine", "ports", "wire", "policies", "network", ...MIDDLE, ...TECHNIQUES],
			"it composes techniques through their public functions; guests and platforms come as ports",
		),
		only(
			"lab-on-techniques",
			["lab"],
			["engine", "ports", "wire", "policies", "links", ...MIDDLE, ...TECHNIQUES, ...COMPOSED],
			"the lab runs the real techniques over its own guest, clock and devices, never over a platform",
		),
		only(
			"links-on-ports",
			["links"],
			["engine", "ports", "wire"],
			"a link moves frames over a byte stream it is given",
		),
		only("network-on-ports", ["network"], ["ports"], "a switch forwards frames; machines and streams come as ports"),
		only("guests-on-ports", ["guests"], ["engine", "ports"], "a guest implements ports over one outside API"),
		{
			name: "guest-alone",
			comment: "one guest does not know another; what they share stands directly in guests/",
			severity: "error",
			from: { path: "^bindings/guests/([^/]+)/" },
			to: { path: "^bindings/guests/[^/]+/", pathNot: "^bindings/guests/$1/" },
		},
		{
			name: "platform-on-ports",
			comment: "an adapter implements ports, nothing more; only a worker's entry puts a guest and a platform together",
			severity: "error",
			from: { path: ROOM("platform"), pathNot: WORKER },
			to: { path: "^bindings/", pathNot: ROOM("platform", "engine", "ports", "wire", "links") },
		},
		{
			name: "worker-entry",
			comment: "a worker's entry puts a guest and a platform together; techniques stay on the other side of the port",
			severity: "error",
			from: { path: WORKER },
			to: { path: "^bindings/", pathNot: ROOM("platform", "engine", "ports", "wire", "links", "guests") },
		},
		{
			name: "platform-alone",
			comment: "Node and Deno are two adapters; what they share stands directly in platform/",
			severity: "error",
			from: { path: "^bindings/platform/([^/]+)/" },
			to: { path: "^bindings/platform/[^/]+/", pathNot: "^bindings/platform/$1/" },
		},
		{
			name: "nobody-imports-the-top",
			comment: "import the room itself, not the public entry that sums it up",
			severity: "error",
			from: { path: "^bindings/", pathNot: [ROOM("cli"), "^bindings/(index|deno)\\.ts$"] },
			to: { path: ["^bindings/(index|deno)\\.ts$", ROOM("cli")] },
		},
		{
			name: "node-only-in-platform",
			comment: "take a port; only platform/ and cli/ name Node",
			severity: "error",
			from: { path: "^bindings/", pathNot: ROOM("platform", "cli") },
			to: { dependencyTypes: ["core"] },
		},
		{
			name: "node-not-on-deno",
			comment: "Deno's adapters use Deno's own APIs",
			severity: "error",
			from: { path: "^bindings/(platform/deno/|deno\\.ts$)" },
			to: { dependencyTypes: ["core"] },
		},
		{
			name: "no-runtime-dependency",
			comment: "the library's dependencies stay at zero: only the loader (bundled) and what the command bundles",
			severity: "error",
			from: { path: "^bindings/", pathNot: [ROOM("cli"), PEER] },
			to: { path: "node_modules", pathNot: "node_modules/(@assemblyscript/loader|@types)/" },
		},
		{
			name: "optional-peer",
			comment: "v86 is the user's to install: one file loads it, and no other package",
			severity: "error",
			from: { path: PEER },
			to: { path: "node_modules", pathNot: "node_modules/v86/" },
		},
		{
			name: "no-tests-in-library",
			comment: "what is published never reaches outside bindings/",
			severity: "error",
			from: { path: "^bindings/" },
			to: { path: "^(tests|bench|examples|tools|build|dist)/" },
		},
		{
			name: "resolves",
			comment: "a path that leads nowhere",
			severity: "error",
			from: {},
			to: { couldNotResolve: true },
		},
		{
			name: "no-cycle",
			comment: "two files that need each other are one, or need a third",
			severity: "error",
			from: {},
			to: { circular: true },
		},
		{
			name: "no-orphan",
			comment: "nothing uses it: remove it or export it",
			severity: "error",
			from: { orphan: true, pathNot: ["\\.d\\.ts$", "-worker\\.ts$"] },
			to: {},
		},
	],
	options: {
		tsPreCompilationDeps: true,
		tsConfig: { fileName: "tsconfig.json" },
		doNotFollow: { path: "node_modules" },
	},
};
