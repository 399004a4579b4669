// Package process runs Helm's SDK in a process of its own for each pass: the program flotilla-helm, which lies beside
// the spoke's. It is bounded in memory, processor time and, where it changes nothing, in time; it has none of the spoke's
// environment but what a way to the API server needs; and it ends with the spoke.
//
// What a chart does to the SDK (a panic, a stack without end, a template that eats memory) ends that process, which is an
// error of [Process.Do]: it says which bound it was, and repeats nothing that the process printed, which may be values.
package process
