package job

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Variable is set in the environment of a process that is to have Helm's SDK; its value is Settings, as JSON.
const Variable = "FLOTILLA_HELM"

// Settings bound such a process.
type Settings struct {
	// Memory in bytes.
	Memory int64 `json:"memory"`
	// CPU is the processor time of one action, beside what it takes to wait (Job.CPU).
	CPU time.Duration `json:"cpu"`
}

// AnswerFile is the process's file that it writes Answers to. It reads from its standard input, and ends when that does.
const AnswerFile = 3

// A message is a byte that says what it is, four bytes of length, and the payload.
const (
	// To the process. A Job and its Archive come first, once.
	MessageJob     = 'J' // JSON of a Job
	MessageArchive = 'A' // the chart's archive, which may be empty
	MessageRequest = 'R' // JSON of a Request
	MessageCut     = 'C' // cuts short an action, if it is under way: eight bytes, the how manieth Request it is
	// From the process.
	MessageAnswer = 'a' // JSON of an Answer
)

// MaxMessage bounds a message to a process: a chart's archive.
const MaxMessage = 256 << 20

// MaxAnswer bounds an Answer. It is read into the memory of the spoke, whatever a chart has made of the process.
const MaxAnswer = 16 << 20

// Send writes a message.
func Send(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > MaxMessage {
		return fmt.Errorf("a message %q of %d bytes; %d are allowed", kind, len(payload), MaxMessage)
	}
	head := make([]byte, 5)
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload))) // at most MaxMessage
	if _, err := w.Write(head); err != nil || len(payload) == 0 {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// SendCut cuts short the action that is the nth Request.
func SendCut(w io.Writer, n uint64) error {
	return Send(w, MessageCut, binary.BigEndian.AppendUint64(nil, n))
}

// CutOf is the Request that a MessageCut is about.
func CutOf(payload []byte) uint64 {
	if len(payload) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(payload)
}

// SendJSON writes a message whose payload is JSON of the value.
func SendJSON(w io.Writer, kind byte, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return Send(w, kind, payload)
}

// Receive reads a message of at most limit bytes.
func Receive(r io.Reader, limit int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if int64(length) > int64(limit) {
		return head[0], nil, fmt.Errorf("a message %q of %d bytes; %d are allowed", head[0], length, limit)
	}
	// The memory is taken as the payload comes, not on the word of its head.
	var whole bytes.Buffer
	switch n, err := io.CopyN(&whole, r, int64(length)); {
	case errors.Is(err, io.EOF) && n > 0:
		return head[0], nil, io.ErrUnexpectedEOF
	case err != nil:
		return head[0], nil, err
	}
	return head[0], whole.Bytes(), nil
}
