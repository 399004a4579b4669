// Package git fetches GitRepositories. It keeps a bare mirror of every Remote on disk. What does not change costs one
// request (the list of the Remote's refs, whatever number of sources follow them); what changes costs the objects that the
// mirror lacks. A mirror is only a cache: it is thrown away when it is damaged, too large, or of no more use.
package git
