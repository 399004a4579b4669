package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/spoke/helm/job"
)

const (
	// maxStack is more than Helm needs for anything but nesting without end.
	maxStack = 64 << 20
	// maxFiles are connections, and what the runtime opens.
	maxFiles = 256
	// maxRequest bounds a message to a process that has its Job.
	maxRequest = 64 << 10
)

// Main must be called first in main. In a process that was started to have Helm's SDK it does what it is asked for until
// its standard input ends, and does not return; in any other it does nothing.
func Main() {
	value, asked := os.LookupEnv(job.Variable)
	if !asked {
		return
	}
	if err := serve(value, os.Stdin, os.NewFile(job.AnswerFile, "answers")); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(0)
}

// serve reads the Job and does its Requests, one after the other.
func serve(value string, in io.Reader, out io.Writer) error {
	var settings job.Settings
	if err := json.Unmarshal([]byte(value), &settings); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := confine.Limit(settings.Memory, maxFiles); err != nil {
		return err
	}
	debug.SetMaxStack(maxStack)
	// What Helm and the clients say there may be values, and the runtime's last words must not be among too much.
	log.SetOutput(io.Discard)
	klog.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	kind, payload, err := job.Receive(in, job.MaxMessage)
	if err != nil {
		return err
	}
	var j job.Job
	if err := json.Unmarshal(payload, &j); err != nil || kind != job.MessageJob {
		return fmt.Errorf("message %q instead of a job: %w", kind, err)
	}
	kind, archive, err := job.Receive(in, job.MaxMessage)
	if err != nil || kind != job.MessageArchive {
		return fmt.Errorf("message %q instead of the chart: %w", kind, err)
	}
	s, err := New(j, archive)
	if err != nil {
		s = &SDK{job: j, broken: err}
	}
	return s.serve(settings, in, out)
}

func (s *SDK) serve(settings job.Settings, in io.Reader, out io.Writer) error {
	requests, ended, cut := make(chan job.Request), make(chan error, 1), make(chan uint64)
	go func() { ended <- listen(in, requests, cut) }()
	var number uint64
	for {
		select {
		case err := <-ended:
			return err
		case <-cut: // of an action that has been answered
		case r := <-requests:
			number++
			if err := confine.MoreCPU(s.job.CPU(settings.CPU, r.Action)); err != nil {
				return err
			}
			answer, err := s.attend(r, number, ended, cut)
			if err != nil {
				return err
			}
			if err := send(out, r, answer); err != nil {
				return err
			}
		}
	}
}

// send writes an Answer. One that the spoke would not read is answered by a Failure: of a chart that makes that much.
func send(out io.Writer, r job.Request, answer job.Answer) error {
	payload, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if len(payload) > job.MaxAnswer {
		payload, err = json.Marshal(job.Answer{Took: answer.Took, Failure: &job.Failure{
			Reason: r.Action.Failed(), Invalid: true, Message: fmt.Sprintf("%s: it comes to %d MiB; %d MiB can be told", r.Action, len(payload)>>20, job.MaxAnswer>>20),
		}})
		if err != nil {
			return err
		}
	}
	return job.Send(out, job.MessageAnswer, payload)
}

// attend does a Request until it is done or cut short. An error is that nobody waits for the Answer any more: what is under
// way is left as it is, which Unlock repairs.
func (s *SDK) attend(r job.Request, number uint64, ended <-chan error, cut <-chan uint64) (job.Answer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answers := make(chan job.Answer, 1)
	go func() { answers <- s.Do(ctx, r) }()
	for {
		select {
		case answer := <-answers:
			return answer, nil
		case n := <-cut:
			if n == number {
				cancel()
			}
		case err := <-ended:
			return job.Answer{}, err
		}
	}
}

// listen reads Requests, and that they are cut short, until there is no more.
func listen(in io.Reader, requests chan<- job.Request, cut chan<- uint64) error {
	for {
		kind, payload, err := job.Receive(in, maxRequest)
		if err != nil {
			return err
		}
		switch kind {
		case job.MessageCut:
			cut <- job.CutOf(payload)
		case job.MessageRequest:
			var r job.Request
			if err := json.Unmarshal(payload, &r); err != nil {
				return fmt.Errorf("request: %w", err)
			}
			requests <- r
		default:
			return fmt.Errorf("message %q instead of a request", kind)
		}
	}
}
