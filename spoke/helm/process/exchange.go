package process

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// exchange sends a Request and waits for the Answer, within the bounds.
func (p *Process) exchange(ctx context.Context, r job.Request) (job.Answer, error) {
	p.output.Begin()
	p.requests++
	p.cpu = p.job.CPU(p.config.CPU, r.Action)
	number, sent := p.requests, make(chan struct{})
	type reply struct {
		answer job.Answer
		err    error
	}
	replies := make(chan reply, 1)
	go func() { // it ends with the process
		answer, err := p.talk(r, sent)
		replies <- reply{answer, err}
	}()
	memory := time.NewTicker(100 * time.Millisecond)
	defer memory.Stop()
	wall := timer(p.wall(r.Action))
	defer wall.Stop()
	var grace <-chan time.Time
	cut := func() {
		if grace == nil {
			grace = time.After(p.config.Grace)
			go p.cut(number, sent) // a process that does not read is killed
		}
	}
	done, ending := ctx.Done(), p.ending
	for {
		select {
		case reply := <-replies:
			if reply.err != nil {
				return reply.answer, p.postMortem(reply.err)
			}
			return reply.answer, nil
		case <-done:
			done = nil
			cut()
		case <-ending:
			ending = nil
			cut()
		case <-grace:
			return job.Answer{}, fmt.Errorf("it was ended: it did not come to an end within %s after it was cut short", p.config.Grace)
		case <-wall.C:
			// Time alone does not tell a chart without end, which its processor time ends, from an API server that is slow.
			return job.Answer{}, fmt.Errorf("it took longer than %s", p.config.Wall)
		case <-memory.C:
			// RLIMIT_DATA stops nearly all before it; mapped memory that it does not count ends here.
			if confine.Resident(p.command.Process.Pid) > p.config.Memory+confine.CodeSize {
				return job.Answer{}, p.overMemory()
			}
		}
	}
}

// talk sends a Request and reads the Answer. It takes as long as that takes, or until the process is gone.
func (p *Process) talk(r job.Request, sent chan<- struct{}) (answer job.Answer, err error) {
	if p.begun != nil {
		err, p.begun = <-p.begun, nil
		if err != nil {
			return answer, err
		}
	}
	if err := p.send(r); err != nil {
		return answer, err
	}
	close(sent)
	kind, payload, err := job.Receive(p.from, job.MaxAnswer)
	switch {
	case err != nil:
		return answer, err
	case kind != job.MessageAnswer:
		return answer, errMalformed
	}
	if err := json.Unmarshal(payload, &answer); err != nil {
		return job.Answer{}, errMalformed
	}
	return answer, nil
}

func (p *Process) send(r job.Request) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	return job.SendJSON(p.to, job.MessageRequest, r)
}

// cut cuts short the action that is the nth Request, once that is sent.
func (p *Process) cut(n uint64, sent <-chan struct{}) {
	select {
	case <-sent:
	case <-p.exited:
		return
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	_ = job.SendCut(p.to, n) // a process that is gone is found so by who reads
}

// wall is how long an action may take; 0: as long as it likes.
func (p *Process) wall(action job.Action) time.Duration {
	switch action {
	case job.Prepare, job.Observe, job.Render, job.Values:
		return p.config.Wall
	}
	return 0
}

// timer fires after d; never: d is 0.
func timer(d time.Duration) *time.Timer {
	if d == 0 {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(d)
}
