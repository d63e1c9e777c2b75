import { connect } from "../../bindings/platform/deno/connect.ts";
import { listen } from "../../bindings/platform/deno/listen.ts";
import { linkContractOverSockets } from "./suites/link-over-sockets.ts";

linkContractOverSockets("stream link over TCP on Deno", { connect, listen }, async () => ({
	address: { transport: "tcp", host: "127.0.0.1", port: 0 },
}));
