package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// limitError says that a build cannot be made within its limits, or at all: the same input will fail again.
type limitError struct {
	why  string
	time bool // it is one of time: another worker would not be faster
	// unsure says that it may not be the input's doing.
	unsure bool
}

func (e *limitError) Error() string { return e.why }
func (e *limitError) Unwrap() error { return fleet.ErrInvalid }

func overMemory(config Config) error {
	return &limitError{why: fmt.Sprintf("it needs more memory than the %d MiB that a build may use", config.Memory>>20)}
}

// inputError is an error that a worker reported of the input.
type inputError struct {
	text string
	is   error
}

func (e *inputError) Error() string { return e.text }
func (e *inputError) Unwrap() error { return e.is }

func decodeError(payload []byte) error {
	if len(payload) == 0 {
		return &brokenError{errMalformed}
	}
	text := strings.ToValidUTF8(string(payload[1:]), "?")
	switch payload[0] {
	case errorInvalid:
		return &inputError{text, fleet.ErrInvalid}
	case errorNotFound:
		return &inputError{text, fleet.ErrNotFound}
	}
	return errors.New(text)
}

func decodeEncrypted(payload []byte) error {
	var files []build.Encrypted
	if err := json.Unmarshal(payload, &files); err != nil || len(files) == 0 || len(files) > maxInputs {
		return &brokenError{errMalformed}
	}
	for _, file := range files {
		if artifact.CheckPath(file.Path) != nil {
			return &brokenError{errMalformed}
		}
	}
	return &build.EncryptedError{Files: files}
}

// errAlone is the result of a build that wants a worker of its own, and had one that served others before.
var errAlone = errors.New("the build is for a fresh render worker")

// errSame is the result of a build that was told before kustomize repeated it, and came to the same.
var errSame = errors.New("the build is as it was told")

// brokenError says that there is no more talking to the worker.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// goneError says that the worker ended before it began the job, which is not the job's doing.
type goneError struct{ why string }

func (e *goneError) Error() string { return "the render worker ended before it began: " + e.why }

// exitTime is how long a worker may take to end after it has closed its pipes.
const exitTime = 5 * time.Second

// postMortem says why there is no more talking to the worker, and ends it; heard says whether it had begun the job.
func (w *worker) postMortem(broken error, heard bool) error {
	var protocol *protocolError
	if errors.As(broken, &protocol) {
		return &limitError{why: "it crashed: " + protocol.why}
	}
	select {
	case <-w.exited:
	case <-time.After(exitTime):
		w.stop()
	}
	lines := w.output.Lines()
	why := w.command.ProcessState.String()
	if len(lines) > 0 {
		why = lines[0]
	}
	if !heard {
		return &goneError{why}
	}
	switch confine.Diagnose(lines) {
	case confine.OutOfMemory:
		return overMemory(w.config)
	case confine.NoThread:
		return &limitError{why: overMemory(w.config).Error(), unsure: true}
	case confine.TooDeep:
		return &limitError{why: "it is nested too deep"}
	case confine.OutOfCPU:
		return &limitError{why: fmt.Sprintf("it used more than %s of processor time", w.config.CPU), time: true}
	}
	if confine.Killed(w.command.ProcessState) {
		return fmt.Errorf("the render worker was killed from outside: %w", broken)
	}
	return &limitError{why: "it crashed: " + why}
}

// print logs what a worker prints.
func (w *worker) print(line string) {
	level := slog.LevelWarn
	if strings.HasPrefix(line, "# Warning:") { // kustomize's, about deprecated fields, at every build
		level = slog.LevelDebug
	}
	w.config.Log.Log(context.Background(), level, "render worker printed", "worker", w.command.Process.Pid, "line", line)
}
