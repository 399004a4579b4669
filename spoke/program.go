package spoke

import (
	"context"
	"os"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/process"
)

// helmProgram starts the program that has Helm's SDK. It is looked for when it is needed: a spoke without HelmReleases works
// without.
type helmProgram struct {
	memory int64 // of a process; 0: process.DefaultMemory
}

// newHelmProgram has processes fit into what this container has, and says how many there may be at once.
func newHelmProgram(memory int64) (program helmProgram, processes int) {
	container, _, _ := confine.Container(os.DirFS("/"))
	program.memory, processes = process.Fit(memory, container)
	return program, processes
}

func (h helmProgram) Start(ctx context.Context, j job.Job, archive []byte) (helm.Process, error) {
	runner, err := process.New(process.Config{Memory: h.memory})
	if err != nil {
		return nil, err
	}
	return runner.Start(ctx, j, archive)
}
