// Package run starts tasks, waits for them and stops them: [All] for the parts of a process, [Every] for a loop that
// looks on a period and when woken, [Backoff] for the pause between tries, [Wake] for "look now" and [Turns] for who goes
// next when not all can at once. [Start] is for a child process, which does not outlive this one.
package run
