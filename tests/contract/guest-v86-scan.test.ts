import { v86GuestContract } from "./suites/guest-v86.ts";

v86GuestContract("scan");
