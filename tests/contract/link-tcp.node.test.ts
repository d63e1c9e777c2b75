import { connect } from "../../bindings/platform/node/connect.ts";
import { listen } from "../../bindings/platform/node/listen.ts";
import { linkContractOverSockets } from "./suites/link-over-sockets.ts";

linkContractOverSockets("stream link over TCP on Node", { connect, listen }, async () => ({
	address: { transport: "tcp", host: "127.0.0.1", port: 0 },
}));
