package helm

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// point is a moment in an action of the fake.
type point string

const (
	beforeStored point = "before it is stored"
	whilePending point = "while it is pending"
	afterDone    point = "after it is done"
)

// errKilled is what an action ends with whose process was killed.
var errKilled = errors.New("killed")

// errBlind is what an answer has that cannot say what is stored.
var errBlind = errors.New("the storage cannot be read")

// helm stands in for the processes: it keeps releases in Secrets as Helm does, and does what the test says. A chart's archive
// is "name@version".
type helm struct {
	client kubernetes.Interface

	mu sync.Mutex
	// open are the processes that run, killed those that ended with their spoke; misclosed is how often one was closed that is
	// neither.
	open, killed map[*process]bool
	misclosed    int
	// at is called at the points of actions; an error fails the action there, and errKilled the process.
	at      func(ctx context.Context, action job.Action, p point) error
	started int
	did     []string
	jobs    []job.Job
	// missing is why no process starts.
	missing error
	// failing fails, while it is pending.
	failing job.Action
	// blind is how many answers from now on cannot say what is stored.
	blind int
	// tests are the phases of the chart's tests; nil: it has none.
	tests map[string]string
	// manifest is that of every version; nothing is applied.
	manifest string
}

func (h *helm) Start(_ context.Context, j job.Job, archive []byte) (Process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.missing != nil {
		return nil, h.missing
	}
	h.started++
	h.jobs = append(h.jobs, j)
	p := &process{h, j, string(archive)}
	if h.open == nil {
		h.open = map[*process]bool{}
	}
	h.open[p] = true
	return p, nil
}

func (h *helm) says(at func(ctx context.Context, action job.Action, p point) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

// setFailing has an action fail besides, while it is pending.
func (h *helm) setFailing(action job.Action) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = action
}

// setMissing has no process start, for that reason.
func (h *helm) setMissing(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missing = err
}

// fails has an action fail at a point.
func (h *helm) fails(action job.Action, p point, err error) {
	h.says(func(_ context.Context, a job.Action, at point) error {
		if a == action && at == p {
			return err
		}
		return nil
	})
}

// blinds has that many answers from now on not say what is stored.
func (h *helm) blinds(answers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blind = answers
}

func (h *helm) isBlind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blind--
	return h.blind >= 0
}

func (h *helm) processes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.started
}

// done returns what was done since it was called last.
func (h *helm) done() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	did := strings.Join(h.did, " ")
	h.did = nil
	return did
}

// kill is what becomes of the processes when their spoke is killed.
func (h *helm) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killed, h.open = h.open, nil
}

type process struct {
	*helm
	job     job.Job
	archive string
}

func (p *process) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open[p] && !p.killed[p] {
		p.misclosed++
	}
	delete(p.open, p)
}

func (p *process) Do(ctx context.Context, r job.Request) (job.Answer, error) {
	var answer job.Answer
	if r.Action != job.Prepare && r.Action != job.Observe {
		p.mu.Lock()
		p.did = append(p.did, string(r.Action))
		p.mu.Unlock()
	}
	var err error
	if r.Action == job.Prepare {
		if err = p.point(ctx, r.Action, beforeStored); err == nil {
			answer.Prepared = p.prepared()
			return answer, nil
		}
	} else {
		err = p.act(ctx, r, &answer)
		var readErr error
		switch answer.History, readErr = p.history(); {
		case !p.isBlind():
			err = cmp.Or(err, readErr)
		case r.Action == job.Observe:
			answer.History, err = nil, errBlind
		default:
			answer.History, answer.Unobserved = nil, &job.Failure{Reason: "StorageError", Message: errBlind.Error(), Transient: true}
		}
	}
	switch failure := (*job.Failure)(nil); {
	case errors.Is(err, errKilled):
		return job.Answer{}, err
	case errors.As(err, &failure):
		failed := *failure
		if answer.Failure != nil {
			failed.Began = answer.Failure.Began
		}
		answer.Failure = &failed
	case err != nil:
		answer.Failure = &job.Failure{Reason: "Test", Message: err.Error(), Began: answer.Failure != nil && answer.Failure.Began}
	default:
		answer.Failure = nil
	}
	return answer, nil
}

func (p *process) point(ctx context.Context, action job.Action, at point) error {
	p.mu.Lock()
	says, failing := p.at, p.failing
	p.mu.Unlock()
	if action == failing && at == whilePending {
		return errors.New("it fails")
	}
	if says == nil {
		return nil
	}
	return says(ctx, action, at)
}

func (p *process) prepared() *job.Prepared {
	name, version, _ := strings.Cut(p.archive, "@")
	return &job.Prepared{
		ChartName: name, ChartVersion: version, ConfigDigest: fleet.DigestOf(p.job.Plan.Spec.Values).String(),
		CommonMetadataDigest: func() string {
			if p.job.Plan.Spec.CommonMetadata == nil {
				return ""
			}
			data, _ := json.Marshal(p.job.Plan.Spec.CommonMetadata)
			return fleet.DigestOf(data).String()
		}(),
	}
}

// act does an action. That a version was stored it says by an answer with a failure.
func (p *process) act(ctx context.Context, r job.Request, answer *job.Answer) error {
	if r.Action == job.Observe {
		return nil
	}
	history, err := p.history()
	if err != nil {
		return err
	}
	if err := p.point(ctx, r.Action, beforeStored); err != nil {
		return err
	}
	last := fleet.HelmSnapshot{}
	if len(history) > 0 {
		last = history[0]
	}
	switch r.Action {
	case job.Unlock:
		last.Status = statusFailed
		return p.write(last)
	case job.Uninstall:
		last.Status = statusUninstalling
		if err := p.write(last); err != nil {
			return err
		}
		answer.Failure = &job.Failure{Began: true}
		if err := p.point(ctx, r.Action, whilePending); err != nil {
			return err
		}
		for _, s := range history {
			if err := p.client.CoreV1().Secrets(p.job.Storage).Delete(ctx, p.name(s.Version), metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
		return p.point(ctx, r.Action, afterDone)
	case job.Test:
		last.TestHooks = map[string]*fleet.HelmTestHook{}
		for name, phase := range p.tests {
			last.TestHooks[name] = &fleet.HelmTestHook{LastStarted: time.Now().UTC(), Phase: phase}
			if phase == phaseFailed {
				err = errors.New("test " + name + " failed")
			}
		}
		return errors.Join(err, p.write(last), p.point(ctx, r.Action, afterDone))
	}
	made := fleet.HelmSnapshot{
		APIVersion: digestVersion, Name: p.job.Release, Namespace: p.job.Namespace, Version: last.Version + 1,
		Status: "pending-" + string(r.Action), FirstDeployed: time.Now().UTC(), LastDeployed: time.Now().UTC(),
	}
	switch r.Action {
	case job.Install:
		replace := (r.Replace || p.job.Plan.Spec.Install != nil && p.job.Plan.Spec.Install.Replace) && (last.Status == statusFailed || last.Status == statusUninstalled)
		if last.Version > 0 && !replace {
			return errors.New("cannot reuse a name that is still in use")
		}
	case job.Upgrade:
		if last.Version == 0 || slices.Contains(pendings, last.Status) {
			return fmt.Errorf("cannot upgrade what is %q", last.Status)
		}
	}
	if r.Action == job.Rollback {
		at := slices.IndexFunc(history, func(s fleet.HelmSnapshot) bool { return s.Version == r.Version })
		made.ChartName, made.ChartVersion, made.ConfigDigest = history[at].ChartName, history[at].ChartVersion, history[at].ConfigDigest
	} else {
		is := p.prepared()
		made.ChartName, made.ChartVersion, made.ConfigDigest = is.ChartName, is.ChartVersion, is.ConfigDigest
	}
	if err := p.write(made); err != nil {
		return err
	}
	answer.Failure = &job.Failure{Began: true}
	if err := p.point(ctx, r.Action, whilePending); err != nil {
		if !errors.Is(err, errKilled) {
			made.Status = statusFailed
			return cmp.Or(p.write(made), err)
		}
		return err
	}
	for _, s := range history {
		if s.Status == statusDeployed {
			s.Status = statusSuperseded
			if err := p.write(s); err != nil {
				return err
			}
		}
	}
	made.Status = statusDeployed
	if err := p.write(made); err != nil {
		return err
	}
	return p.point(ctx, r.Action, afterDone)
}

func (p *process) name(version int) string {
	return fmt.Sprintf("sh.helm.release.v1.%s.v%d", p.job.Release, version)
}

// history reads what is stored, the newest first.
func (p *process) history() (history []fleet.HelmSnapshot, err error) {
	return p.of(names{Release: p.job.Release, Storage: p.job.Storage})
}

func (h *helm) of(n names) (history []fleet.HelmSnapshot, err error) {
	list, err := h.client.CoreV1().Secrets(n.Storage).List(context.Background(), metav1.ListOptions{LabelSelector: "owner=helm,name=" + n.Release})
	if err != nil {
		return nil, err
	}
	for _, secret := range list.Items {
		if secret.Data["release"] == nil {
			continue // Helm passes over what it cannot read
		}
		var s fleet.HelmSnapshot
		if err := json.Unmarshal(inflate(secret.Data["release"]), &s); err != nil {
			return nil, err
		}
		s.Digest = fleet.DigestOf(secret.Data["release"]).String()
		history = append(history, s)
	}
	slices.SortFunc(history, newestFirst)
	return history, nil
}

func (p *process) write(s fleet.HelmSnapshot) error {
	s.Digest = ""
	data, err := json.Marshal(struct {
		fleet.HelmSnapshot
		Manifest string `json:"manifest"`
	}{s, p.manifest})
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: p.name(s.Version), Labels: map[string]string{
			"owner": "helm", "name": p.job.Release, "status": s.Status, "version": strconv.Itoa(s.Version),
		}},
		Type: "helm.sh/release.v1", Data: map[string][]byte{"release": deflate(data)},
	}
	to := p.client.CoreV1().Secrets(p.job.Storage)
	if _, err = to.Create(context.Background(), secret, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
		_, err = to.Update(context.Background(), secret, metav1.UpdateOptions{})
	}
	return err
}

// deflate packs as Helm does.
func deflate(data []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))
}

func inflate(data []byte) []byte {
	r, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(data)))
	if err != nil {
		panic(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return plain
}
