import { connect } from "../../bindings/platform/deno/connect.ts";
import { listen } from "../../bindings/platform/deno/listen.ts";
import { linkPeersContract } from "./suites/link-peers.ts";

linkPeersContract("wrong and dying peers over TCP on deno", { connect, listen });
