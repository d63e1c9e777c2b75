/**
 * pageferry for Node: move running machines between processes. Everything public is in the list below; `deno.ts` has the
 * same list for Deno, but for the platform.
 * @module
 */

// Ballooning: what a guest does not need is not transferred.
export {
	type BalloonTurn,
	type SelfBallooning,
	type SelfBallooningOptions,
	type SelfBallooningServices,
	startSelfBallooning,
} from "./ballooning/self-ballooning.ts";
export type { BalloonOptions, BalloonStep } from "./engine/balloon.ts";
// Moving a guest.
export type { FollowerFigures } from "./epochs/checkpoint-follower.ts";
export type { CheckpointFigures } from "./epochs/checkpoint-loop.ts";
// Guests.
export { MemoryGuest, MemoryGuestFactory, type MemoryGuestOptions } from "./guests/memory/memory-guest.ts";
export type { PageAllocator } from "./guests/memory/page-allocator.ts";
export type { TrackerName } from "./guests/wasm/dirty-tracker.ts";
export { type EmscriptenOptions, emscriptenOptions, interceptInstantiation } from "./guests/wasm/emscripten.ts";
export { type EmscriptenCalls, type EmscriptenEnvOptions, emscriptenEnv } from "./guests/wasm/emscripten-env.ts";
export { CallError, ProgramError, type ProgramErrorCode } from "./guests/wasm/errors.ts";
export { WasmGuestFactory, type WasmGuestFactoryOptions } from "./guests/wasm/factory.ts";
export {
	type StartWasmGuestOptions,
	startWasmGuest,
	WasmGuest,
	type WasmGuestMemoryUse,
	type WasmInterruptions,
} from "./guests/wasm/guest.ts";
export { type AccessDescriptor, declareImports, type HostAccess } from "./guests/wasm/host-access.ts";
export { WasmModuleError, type WasmModuleErrorCode } from "./guests/wasm/module/errors.ts";
export {
	defineProgram,
	type ProgramDefinition,
	type ProgramPolicy,
	type RunningProgram,
	type StartContext,
} from "./guests/wasm/program.ts";
export { balloonOf, type ProgramBalloon } from "./guests/wasm/program-balloon.ts";
export type { BarrierReport } from "./guests/wasm/verified-tracker.ts";
export { WasiExit, type WasiOptions, wasiImports } from "./guests/wasm/wasi.ts";
// The handover and the right to run.
export {
	MoveLedger,
	type SourceLedger,
	type SourceWord,
	type TargetLedger,
	type TargetWord,
} from "./handover/ledger.ts";
export { ManualLease } from "./handover/manual-lease.ts";
export { MemoryLease, type MemoryLeaseOptions } from "./handover/memory-lease.ts";
export { MOVE_PHASES, MoveError, type MoveErrorCode, type MovePhase } from "./handover/move-error.ts";
export { DEFAULT_DEADLINES, type Deadlines } from "./handover/phases.ts";
// Planning: what a technique would cost a guest, from a recording of it.
export { REPLAY_TECHNIQUES, type ReplayOptions, type ReplayResult, replayTrace } from "./lab/replay-trace.ts";
// Links.
export type { LinkOptions } from "./links/link-options.ts";
export { openLink, openLinkPair } from "./links/open-link.ts";
export type { LinkMemory, StreamLink, StreamLinkOptions } from "./links/stream-link.ts";
export type { FollowingPagesOptions } from "./migration/following-pages.ts";
export { type HybridOptions, hybrid } from "./migration/hybrid.ts";
export type { MoveMetrics, MoveProgress, PagingMetrics, TechniqueName, Verification } from "./migration/metrics.ts";
export type { MoveOptions, MoveResult, MoveServices } from "./migration/move.ts";
export type { PagingEnd, ReceivedPages } from "./migration/paging-reception.ts";
export { type PostCopyOptions, postCopy } from "./migration/post-copy.ts";
export { type PreCopyOptions, preCopy } from "./migration/pre-copy.ts";
export { decideMove, type Resolution, type ResolveServices, resolveMove } from "./migration/resolve.ts";
export type { OwedPages, PostCopyResult } from "./migration/results.ts";
export type { ReviveOptions } from "./migration/revive.ts";
export { stopAndCopy } from "./migration/stop-and-copy.ts";
export {
	type AnswerStatus,
	type ReceiveOptions,
	type ReceiveResult,
	type ReceiveServices,
	receiveGuest,
} from "./migration/target.ts";
export type { TargetState } from "./migration/target-states.ts";
// The network between guests.
export { arpAnnouncement, rarpAnnouncement } from "./network/announce.ts";
export { type OneMachineAddresses, oneMachine } from "./network/one-machine.ts";
export type { OutputGate } from "./network/output-gate.ts";
export { capture, pcapHeader, pcapRecord } from "./network/pcap.ts";
export { type SwitchPort, type TappedFrame, VirtualSwitch, type VirtualSwitchOptions } from "./network/switch.ts";
export { startWire, type Wire, type WireOptions, type WireServices } from "./network/wire.ts";
export {
	type ConnectWireOptions,
	connectWire,
	fenceWirePort,
	stopWire,
	type WireClientServices,
	type WirePlace,
	type WirePort,
	wireStatus,
} from "./network/wire-client.ts";
export { WireError, type WireErrorCode } from "./network/wire-error.ts";
export type { WireGate } from "./network/wire-gate.ts";
export type { WirePortStatus, WireStatus } from "./network/wire-orders.ts";
export { sweepWires } from "./network/wire-place.ts";
export type { OpenUplink, Uplink } from "./network/wire-uplink.ts";
export {
	type DirtyTrace,
	decodeTrace,
	encodeTrace,
	type RecordOptions,
	recordDirtyTrace,
	type TraceStep,
} from "./planning/dirty-trace.ts";
export { type Plan, type PlanOptions, type Prediction, plan, type TechniquePlan } from "./planning/plan.ts";
export { type GuestSample, type SampleOptions, sampleGuest } from "./planning/sample.ts";
// What this runtime offers as ports; `localPlatform` is the same under a name that both entries have.
export { nodePlatform, nodePlatform as localPlatform } from "./platform/node/index.ts";
export {
	type DirtyFrequencyReading,
	type ImprovedConvergenceOptions,
	improvedConvergence,
} from "./policies/adaptive-iterations.ts";
// Policies: plain functions that a caller may replace by their own.
export type { OutputBoundaryOptions } from "./policies/checkpoint-interval.ts";
export type { CompressionPolicy } from "./policies/compression.ts";
export {
	type ConvergenceFacts,
	type ConvergencePolicy,
	downtimeConvergence,
	expectedDowntimeMs,
	firstOf,
	type RoundFacts,
	type StopReason,
	type XenConvergenceOptions,
	xenConvergence,
} from "./policies/convergence.ts";
export {
	type AdaptiveRate,
	type AdaptiveRateOptions,
	adaptiveRate,
	fixedRate,
	type PacingPolicy,
} from "./policies/pacing.ts";

export { activePush, demandPaging, type PrepagingOptions, type PushOrder, prepaging } from "./policies/push-order.ts";
// Ports: what guests, links and platforms implement.
export {
	type BallooningGuest,
	type BalloonReport,
	type GuestBalloon,
	isBallooningGuest,
} from "./ports/ballooning-guest.ts";
export type { ByteStream, ByteStreamListener, StreamAddress } from "./ports/byte-stream.ts";
export { type CalledGuest, isCalledGuest } from "./ports/called-guest.ts";
export type { Clock } from "./ports/clock.ts";
export {
	type CopyControl,
	type CopyingGuest,
	isCopyingGuest,
	type PagesCopy,
	type StateCopy,
} from "./ports/copying-guest.ts";
export {
	type DeltaControl,
	type DeltaGuest,
	isDeltaGuest,
	type PageSender,
	type SendOptions,
} from "./ports/delta-guest.ts";
export {
	type FaultControl,
	type FaultingGuest,
	type FaultReport,
	type InstalledPages,
	isFaultingGuest,
} from "./ports/faulting-guest.ts";
export {
	type GatedGuest,
	type GateFacts,
	type GuestGate,
	type HoldOutputOptions,
	isGatedGuest,
} from "./ports/gated-guest.ts";
export {
	type AppliedPages,
	type DirtyCursor,
	type DirtyLog,
	type DirtyPages,
	type EncodedBatch,
	type EncodeOptions,
	type Guest,
	GuestError,
	type GuestErrorCode,
	type GuestFactory,
	type GuestLayout,
	type GuestPages,
	type GuestState,
	type Interruptions,
	MAX_BATCH_PAGES,
	type Obstacle,
	PAGE_BYTES,
	type PageBatch,
	type PageBits,
	type PauseOptions,
	type PreparedTarget,
	type ResourceFact,
	type SetUpOptions,
} from "./ports/guest.ts";
export { type Lease, LeaseError, type LeaseGrant } from "./ports/lease.ts";
export {
	type IncomingFrame,
	type Lane,
	type Link,
	LinkError,
	type LinkErrorCode,
	type LinkTraffic,
	type OutgoingFrame,
} from "./ports/link.ts";
export { isOrderedGuest, type OrderCursor, type OrderedGuest, type PageOrder } from "./ports/ordered-guest.ts";
export type { ConnectOptions, Platform } from "./ports/platform.ts";
export {
	type ProcessCommand,
	type ProcessEnd,
	ProcessError,
	type ProcessPort,
	type RunningProcess,
} from "./ports/process.ts";
export type { Random } from "./ports/random.ts";
export { type GuestCheckpoint, isStandbyGuest, type Standby, type StandbyGuest } from "./ports/standby-guest.ts";
export { type ByteRange, MAX_REFERENCE_BYTES, type Store, StoreError, type StoreErrorCode } from "./ports/store.ts";
export { isPiecewise, type ObjectReader, type ObjectWriter, type PiecewiseStore } from "./ports/store-pieces.ts";
export { type GuestThrottle, isThrottledGuest, type ThrottledGuest } from "./ports/throttled-guest.ts";
export {
	type ClockPolicy,
	isToldGuest,
	type RandomPolicy,
	type RestoreFacts,
	type RestoreNotice,
	type ToldGuest,
} from "./ports/told-guest.ts";
export type { WorkerPort, WorkerRole, WorkerScope, WorkerThread } from "./ports/worker.ts";

// Snapshots: saving, a store for them, restoring.
export { type AccessOrder, AccessOrders } from "./snapshot/access-order.ts";
export {
	History,
	type HistoryBounds,
	type HistoryEnd,
	type HistoryEntry,
	type HistoryOptions,
	type RewindServices,
	type Rewound,
	startHistory,
} from "./snapshot/history.ts";
export { SnapshotError, type SnapshotErrorCode } from "./snapshot/image-error.ts";
export { type KeeperOptions, type KeeperResult, type KeeperServices, keepSnapshots } from "./snapshot/keeper.ts";
export type { LazyPages, LazyReport } from "./snapshot/lazy-pages.ts";
export {
	type LazyRestored,
	type LazyRestoreOptions,
	type LazyRestoreServices,
	lazyRestore,
} from "./snapshot/lazy-restore.ts";
export {
	type ImprovedLiveSaveOptions,
	improvedLiveSave,
	type LiveSaveOptions,
	liveSave,
} from "./snapshot/live-save.ts";
export {
	type Restored,
	type RestoreMetrics,
	type RestoreOptions,
	type RestoreProgress,
	type RestoreServices,
	restore,
	restoreClones,
} from "./snapshot/restore.ts";
export { RestoreError, type RestoreErrorCode } from "./snapshot/restore-error.ts";
export type { PolicyOutcome, PolicyReport, RestorePolicy } from "./snapshot/restore-policy.ts";
export { type PausedSaveOptions, type SaveResult, type SaveServices, save } from "./snapshot/save.ts";
export { SAVE_PHASES, SaveError, type SaveErrorCode, type SavePhase } from "./snapshot/save-error.ts";
export type { SaveMetrics, SaveProgress, SaveTechnique } from "./snapshot/save-metrics.ts";
export {
	type KeptSnapshot,
	type SaveToOptions,
	type SaveToServices,
	type SendSnapshotOptions,
	saveTo,
	sendSnapshot,
} from "./snapshot/save-to.ts";
export { DEFAULT_SAVE_DEADLINES, type SaveDeadlines, type Saved, type SaveOptions } from "./snapshot/saving.ts";
export { SnapshotSeries } from "./snapshot/series.ts";
export {
	type BeginOptions,
	type CommitParts,
	type ReadOptions,
	type SnapshotInfo,
	type SnapshotListOptions,
	SnapshotReader,
	SnapshotStore,
	type SnapshotStoreOptions,
	SnapshotWriter,
	type UnreadableSnapshot,
	type WriterFigures,
} from "./snapshot/store.ts";
