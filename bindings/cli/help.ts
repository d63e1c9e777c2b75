/** What the command says about itself. */

/** `pageferry --help`. */
export const HELP = `pageferry: moves running machines between processes

  pageferry demo [options]   a program that others wrote works in one process while a client asks it,
                             and is moved live into another process; every answer is checked
  pageferry lab [ids…] [--json FILE] [--html FILE]
                             the papers' experiments in virtual time: the paper's figure, ours, the error, the verdict
                             (all ids without one; LS stands for LS-1, LS-2, …)
  pageferry lab faults [--technique NAMES] [--seconds N] [--runs N] [--seed N] [--replay CASE|FILE]
                             every technique under drawn faults in virtual time: new seeds each time, for 60 s; a failure
                             prints its case and its trace, and --replay plays it again
  pageferry demo --guest v86|qemu [options]
                             a Linux in v86, or under QEMU, is moved live into another process while its programs work
                             (npm run guests prepares it); takes --technique, --push, --from, --to, --verification,
                             --bandwidth and --json; QEMU moves by pre-copy or stop-and-copy
  pageferry wire start [--name NAME] [--uplink user|passt|none] [--forward HOST:GUEST]… [--guest-ip IP]
                       [--tcp PORT] [--pcap FILE] [--folder FOLDER]
                             the network of guests in a process of its own: clients' connections last when a guest
                             moves, and when its host is killed; --forward 8080:80, or 8080:10.0.0.16:80
  pageferry wire status|stop|fence [--name NAME] [--json] [--port PORT]
                             who is at a wire; ends it; cuts a host off whose guest runs elsewhere
  pageferry snapshot list STORE [--json FILE]          snapshots in a folder; an ID may be the beginning of one
  pageferry snapshot show STORE ID [--json FILE]       all that one says of itself
  pageferry snapshot verify STORE [ID…]                reads and compares every byte of these, or of all
  pageferry snapshot delete STORE ID…                  forgets them; a prune gives their room back
  pageferry snapshot prune STORE [--keep ID,…] [--keep-last N] [--repack-below PART] [--dead-writers]
                             removes what no snapshot needs; with --keep or --keep-last all other snapshots as well;
                             --dead-writers: nobody else works on this store, what they have left goes too
  pageferry snapshot export STORE ID FILE|-            one snapshot as a file that needs no store
  pageferry snapshot import STORE FILE|-               and back; prints its new id
  pageferry --version
  pageferry --help           pageferry demo --help says the same

options of demo
  --program sqlite|quickjs|lua           what runs in the guest                         [sqlite]
  --technique pre-copy|stop-and-copy|post-copy|hybrid
                                         how it is moved                                [pre-copy]
  --push demand|active|prepaging|turns   of post-copy and hybrid: how its pages follow; demand pushes
                                         after 3 s what the guest has not touched       [prepaging]
  --order address|lru                    of post-copy and hybrid: by what pages take their positions;
                                         lru: most recently used first                  [address]
  --checkpoints                          of post-copy and hybrid: the target's changes come back to the
                                         source, which goes on from them if the target dies
  --from node|deno  --to node|deno       where it comes from and where it goes          [node, node]
  --link tcp|unix                        loopback TCP or a unix-domain socket           [tcp]
  --memory MiB                           incompressible ballast in the guest            [64]
  --load N                               requests per second, 0: as fast as it goes     [500]
  --requests N                           half before the move, half after it            [3 s of load on each side]
  --verification transport|full          full hashes the paused guest once more         [full]
  --bandwidth MB/s                       cap of the live rounds, and of what is pushed after the switch  [none]
  --json FILE                            everything as JSON

Post-copy and hybrid need a target on Node 22 or later, or on Deno (--to deno).

exit code  0 moved and verified   1 not moved, or not verified   2 wrong use   130 interrupted
`;
