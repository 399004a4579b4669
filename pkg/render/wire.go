package render

import (
	"encoding/binary"
	"fmt"
	"io"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// A message between a pool and a worker is a byte that says what it is, four bytes of length, and the payload.
const (
	// From the pool.
	msgJob    = 'J' // JSON of a task
	msgAnswer = 'A' // an answer's kind, then its content
	// From the worker.
	msgRead      = 'R' // a path; the answer is the file's content
	msgList      = 'L' // a path; the answer is the entries: of each 'd' or 'f', length, name
	msgPeek      = 'P' // a path; the answer is the entries, each file's with its digest and size, as long as they are not many
	msgStat      = 'S' // a path; the answer is 'd', or 'f' and the file's digest and size
	msgLooked    = 'K' // inputs, each with its length; there is no answer
	msgOutcome   = 'W' // JSON of an outcome, as far as it is known: the last one before the result counts; there is no answer
	msgMade      = 'M' // objects as in a result, which kustomize is about to repeat: they count if it does not get that far; there is no answer
	msgSame      = 'D' // the result: what was made before
	msgAlone     = 'F' // the result: the build is for a fresh worker, which serves no other
	msgObjects   = 'O' // the result: number of documents; of each its length and content
	msgEncrypted = 'C' // the result: JSON of the files of a build.EncryptedError
	msgError     = 'E' // the result: an error's kind, then its text
)

// Kinds of answers, and of errors.
const (
	answerFound  = 'y'
	answerAbsent = 'n'
	answerMany   = 'm' // of a directory that has too many entries to be told at once
	answerFailed = 'x' // the job ends; the pool knows why

	errorInvalid  = 'i'
	errorNotFound = 'n'
	errorOther    = 'x'
)

const (
	// maxToWorker bounds a message to a worker: a file that it could not use would be longer.
	maxToWorker = build.MaxInput + 64<<10
	// maxToPool bounds a message from a worker: a result with all it may have.
	maxToPool = build.MaxOutput + 8*build.MaxObjects
	// maxRequest bounds one that is not a result.
	maxRequest = artifact.MaxPath
	// maxLooked bounds a message about what was looked at; a worker sends one when it has half of that to tell.
	maxLooked = 128 << 10
	// maxOutcome bounds one that says how a build was made: three texts, of which JSON makes six times as much at most.
	maxOutcome = 3*6*maxText + 4<<10
	// maxPeek is how many entries of a directory are told at once.
	maxPeek = 10_000
)

// task is what the pool tells a worker about a job.
type task struct {
	Path string          `json:"path"`
	Spec fleet.BuildSpec `json:"spec"`
	// Distrust are the shapes of trees, beside those that the worker knows, that kustomize itself is to build.
	Distrust []fleet.Digest `json:"distrust,omitempty"`
	// Hook names a function to run instead of the build. There are such functions in tests only.
	Hook string `json:"hook,omitempty"`
}

func send(w io.Writer, kind byte, payload []byte) error {
	together := payload
	if len(payload) > maxTogether {
		together = nil
	}
	frame := make([]byte, 5, 5+len(together))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload))) // bounded by the callers
	_, err := w.Write(append(frame, together...))
	if err == nil && len(together) < len(payload) {
		_, err = w.Write(payload)
	}
	return err
}

// maxTogether is how long a payload may be to be copied, so that a message is written at once.
const maxTogether = 16 << 10

func receive(r io.Reader, limit int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind = head[0]
	switch kind {
	case msgRead, msgList, msgPeek, msgStat, msgError, msgAlone, msgSame:
		limit = min(limit, maxRequest)
	case msgLooked:
		limit = min(limit, maxLooked)
	case msgOutcome:
		limit = min(limit, maxOutcome)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if int64(length) > int64(limit) {
		return kind, nil, &protocolError{fmt.Sprintf("it sent a message %q of %d bytes", kind, length)}
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return kind, payload, err
}

func appendText(out []byte, text string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(text))), text...)
}

// protocolError is a message that no worker sends that runs our code and nothing else.
type protocolError struct{ why string }

func (e *protocolError) Error() string { return e.why }

var errMalformed = &protocolError{"it sent a malformed message"}

// takeText takes what appendText added from the front of data.
func takeText(data []byte) (text, rest []byte, err error) {
	length, n := binary.Uvarint(data)
	if n <= 0 || length > uint64(len(data)-n) {
		return nil, nil, errMalformed
	}
	data = data[n:]
	return data[:length:length], data[length:], nil
}

func encodeObjects(objects [][]byte) []byte {
	size := binary.MaxVarintLen64
	for _, object := range objects {
		size += binary.MaxVarintLen64 + len(object)
	}
	out := binary.AppendUvarint(make([]byte, 0, size), uint64(len(objects)))
	for _, object := range objects {
		out = append(binary.AppendUvarint(out, uint64(len(object))), object...)
	}
	return out
}

func decodeObjects(data []byte) ([][]byte, error) {
	count, n := binary.Uvarint(data)
	if n <= 0 || count > build.MaxObjects {
		return nil, errMalformed
	}
	data = data[n:]
	objects := make([][]byte, 0, count)
	for range count {
		object, rest, err := takeText(data)
		if err != nil {
			return nil, err
		}
		objects, data = append(objects, object), rest
	}
	if len(data) > 0 {
		return nil, errMalformed
	}
	return objects, nil
}
