// Package confine bounds processes that do a tenant's work: the one that is started limits itself before it begins
// ([Limit], [MoreCPU]), and the one that started it watches its memory ([Resident]), hears its last words ([Output]) and
// ends it with all that it has started ([KillGroup]). It ends with who started it ([Attributes]).
//
// Outside Linux, where neither hub nor spoke runs in earnest, such a process is bounded by time alone.
package confine
