package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// session is one job at a worker.
type session struct {
	worker *worker
	order  order
	files  *artifact.FS
	heard  bool            // the worker has said something
	began  chan struct{}   // closed when it has
	looked map[string]bool // the inputs that it told of
	// peeked are directories whose entries it knows. What it looked at of them it may not have told.
	peeked  map[string]bool
	asked   int    // how many questions it had
	names   int    // bytes of what is in looked and peeked
	last    string // the file read last
	outcome outcome
	made    [][]byte // what was built, while kustomize repeats it
	failure error    // of reading a file for the build: the pool's, not the build's
}

// serve sends the job and answers the worker's questions until there is a result.
func (s *session) serve() ([][]byte, error) {
	payload, err := json.Marshal(s.order.task)
	if err != nil {
		return nil, err
	}
	if err := send(s.worker.to, msgJob, payload); err != nil {
		return nil, &brokenError{err}
	}
	for {
		kind, payload, err := receive(s.worker.from, maxToPool)
		if kind != 0 && !s.heard {
			s.heard = true
			close(s.began)
		}
		if err != nil {
			return nil, &brokenError{err}
		}
		switch kind {
		case msgObjects:
			objects, err := decodeObjects(payload)
			if err != nil {
				return nil, &brokenError{err}
			}
			return objects, nil
		case msgSame:
			if s.made == nil {
				return nil, &brokenError{errMalformed}
			}
			return s.made, nil
		case msgEncrypted:
			return nil, decodeEncrypted(payload)
		case msgError:
			return nil, decodeError(payload)
		case msgAlone:
			return nil, errAlone
		case msgOutcome:
			s.outcome, err = decodeOutcome(payload)
		case msgMade:
			if s.made != nil {
				return nil, &brokenError{errMalformed}
			}
			s.made, err = decodeObjects(payload)
		case msgLooked:
			err = s.note(payload)
		default:
			var answer []byte
			if answer, err = s.answer(kind, string(payload)); err == nil {
				err = send(s.worker.to, msgAnswer, answer)
			}
		}
		if err != nil {
			return nil, &brokenError{err}
		}
	}
}

// Bounds of what a build may look at, and of the directories that a worker may be told of, which all are remembered, and of
// its questions: no build of a tree has more. Tests lower them.
var (
	maxInputs     = 2 * artifact.MaxEntries
	maxInputBytes = 64 << 20
	maxQuestions  = 4 * maxInputs
)

// note remembers what the worker says it looked at.
func (s *session) note(payload []byte) error {
	for len(payload) > 0 {
		input, rest, err := takeText(payload)
		if err != nil {
			return err
		}
		if !isPath(strings.TrimSuffix(string(input), "/")) {
			return errMalformed
		}
		if err := s.remember(s.looked, string(input)); err != nil {
			return err
		}
		payload = rest
	}
	return nil
}

// remember keeps a name, as far as there are not too many.
func (s *session) remember(in map[string]bool, name string) error {
	if in[name] {
		return nil
	}
	in[name] = true
	s.names += len(name)
	switch {
	case len(s.looked)+len(s.peeked) > maxInputs:
		return &protocolError{fmt.Sprintf("it asked for more than %d files", maxInputs)}
	case s.names > maxInputBytes:
		return &protocolError{fmt.Sprintf("the names of the files that it asked for have more than %d bytes", maxInputBytes)}
	}
	return nil
}

// inputs are what the worker looked at. Of one that did not come to tell, it is all that it could have.
func (s *session) inputs(told bool) []string {
	if !told {
		for dir := range s.peeked {
			s.looked[dir+"/"] = true
			for _, e := range s.order.Tree.Entries(dir) {
				s.looked[path.Join(dir, e.Name)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(s.looked))
}

func (s *session) answer(kind byte, name string) ([]byte, error) {
	if !isPath(name) {
		return nil, errMalformed
	}
	if s.asked++; s.asked > maxQuestions {
		return nil, &protocolError{fmt.Sprintf("it asked more than %d times for files", maxQuestions)}
	}
	found := []byte{answerFound}
	var err error
	switch kind {
	case msgRead:
		var data []byte
		s.last = name
		data, err = s.files.ReadFile(name)
		if len(data) >= maxToWorker {
			data = data[:maxToWorker-1] // still more than a build may read
		}
		found = append(found, data...)
	case msgPeek:
		if err := s.remember(s.peeked, name); err != nil {
			return nil, err
		}
		entries := s.order.Tree.Entries(name)
		switch {
		case len(entries) > maxPeek:
			return []byte{answerMany}, nil
		case len(entries) == 0:
			return []byte{answerAbsent}, nil
		}
		found = append(found, encodeEntries(entries, true)...)
	case msgList:
		found = append(found, encodeEntries(s.order.Tree.Entries(name), false)...)
	case msgStat:
		if _, err = s.files.Stat(name); err == nil {
			file, isFile := s.order.Tree.Lookup(name)
			found = append(found, encodeEntry(file, isFile)...)
		}
	default:
		return nil, &protocolError{fmt.Sprintf("it sent a message %q", kind)}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []byte{answerAbsent}, nil
	case errors.Is(err, fs.ErrInvalid): // a directory is read as a file
		return []byte{answerFailed}, nil
	case err != nil:
		if s.made == nil {
			s.failure = errors.Join(s.failure, err)
		}
		return []byte{answerFailed}, nil
	}
	return found, nil
}

// describe adds to a failure where the build was, as far as that is known.
func (s *session) describe(err error) error {
	var limit *limitError
	if errors.As(err, &limit) && s.outcome.Way == build.ClassKustomize {
		err = whySlow(err, s.outcome.Reason)
	}
	namesNone := isPanic(err) && strings.HasPrefix(err.Error(), fleet.ErrInvalid.Error())
	if s.last != "" && (limit != nil || namesNone) {
		return fmt.Errorf("%w (after reading %s)", err, s.last)
	}
	return err
}

// isPanic reports whether a build failed by a panic of kustomize's.
func isPanic(err error) bool {
	return err != nil && strings.Contains(err.Error(), "kustomize panicked")
}
