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
	msgList      = 'L' // a path; the answer is the entries: 'd' or 'f', length, name
	msgStat      = 'S' // a path; the answer is 'd' or 'f'
	msgObjects   = 'O' // the result: number of documents; of each its length and content
	msgEncrypted = 'C' // the result: JSON of the files of a build.EncryptedError
	msgError     = 'E' // the result: an error's kind, then its text
)

// Kinds of answers, and of errors.
const (
	answerFound  = 'y'
	answerAbsent = 'n'
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
)

// task is what the pool tells a worker about a job.
type task struct {
	Path string          `json:"path"`
	Spec fleet.BuildSpec `json:"spec"`
	// Hook names a function to run instead of the build. There are such functions in tests only.
	Hook string `json:"hook,omitempty"`
}

func send(w io.Writer, kind byte, payload []byte) error {
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload))) // bounded by the callers
	_, err := w.Write(append(frame, payload...))
	return err
}

func receive(r io.Reader, limit int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind = head[0]
	switch kind {
	case msgRead, msgList, msgStat, msgError:
		limit = min(limit, maxRequest)
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
	out := binary.AppendUvarint(nil, uint64(len(objects)))
	for _, object := range objects {
		out = appendText(out, string(object))
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
