import { connect } from "../../bindings/platform/node/connect.ts";
import { listen } from "../../bindings/platform/node/listen.ts";
import { linkPeersContract } from "./suites/link-peers.ts";

linkPeersContract("wrong and dying peers over TCP on node", { connect, listen });
