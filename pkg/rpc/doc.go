// Package rpc assembles gRPC servers and clients, the same for spokes and for people: keepalive, limits, recovery,
// deadlines, metrics, and one mapping between fleet's sentinel errors and the codes on the wire.
//
// A handler returns ordinary errors; [NewServer]'s interceptors turn them into statuses with [Status] and log what is
// the server's fault, once. A client turns statuses back into sentinels with [FromStatus].
package rpc
