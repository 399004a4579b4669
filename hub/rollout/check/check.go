package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Store is what a Checker needs of the store.
type Store interface {
	// SecretData is the content of a Secret of the hub.
	SecretData(ctx context.Context, namespace, name string) (map[string][]byte, error)
	// Ask asks a cluster's spoke; Answer waits for what it says.
	Ask(ctx context.Context, by fleet.Caller, cluster string, ask fleet.Ask, within time.Duration) (fleet.Question, error)
	Answer(ctx context.Context, question fleet.Question) ([]byte, error)
}

// Config is what a Checker needs.
type Config struct {
	Store Store
	// Client reaches servers, by the authorities of a Secret where it has some. It says which addresses may be reached, and
	// bounds what is read.
	Client func(*tls.Config) *http.Client
	Log    *slog.Logger
}

// Checker is a rollout.Checker.
type Checker struct {
	store Store
	asker check.Asker
	log   *slog.Logger
	// turns are a *run.Turns for each cluster that was asked, by name.
	turns sync.Map
}

// clusterAsksAtOnce is how many questions of gates one cluster has at a time: it answers a few more, and people ask as well.
const clusterAsksAtOnce = 2

// New returns a Checker.
func New(config Config) *Checker {
	secret := func(ctx context.Context, ref fleet.NamespacedRef) (map[string][]byte, error) {
		return config.Store.SecretData(ctx, ref.Namespace, ref.Name)
	}
	return &Checker{store: config.Store, asker: check.Asker{Client: config.Client, Secret: secret}, log: config.Log}
}

// spokeTime is how long a spoke may take: as long as the longest request, and a while for the way.
const spokeTime = fleet.MaxWebhookTimeout + 20*time.Second

// Check implements rollout.Checker.
func (c *Checker) Check(ctx context.Context, asked rollout.Check) rollout.Measurement {
	question := fleet.GateQuestion{
		Gate: asked.Spec, App: asked.App, Rollout: asked.Rollout, Release: asked.Target, Wave: asked.WaveName, Phase: string(asked.Phase),
		Clusters: asked.Clusters, Cluster: asked.Name,
	}
	var answer fleet.GateAnswer
	if asked.Cluster == "" {
		answer = c.asker.Ask(ctx, question)
	} else {
		answer = c.askSpoke(ctx, question)
	}
	return rollout.Measurement{Value: answer.Value, Result: answer.Result, Message: answer.Message}
}

// askSpoke has the cluster ask, when it is its turn.
func (c *Checker) askSpoke(ctx context.Context, question fleet.GateQuestion) (answer fleet.GateAnswer) {
	turns, _ := c.turns.LoadOrStore(question.Cluster, run.NewTurns(clusterAsksAtOnce, 0))
	done, err := turns.(*run.Turns).Take(ctx, question.App.String())
	if err != nil {
		return fleet.GateAnswer{Result: fleet.ResultAgain, Message: question.Cluster + " is asked by others"}
	}
	defer done()
	found, err := c.spoke(ctx, question)
	if err == nil {
		err = decode(found, &answer)
	}
	switch {
	case err == nil:
		return answer
	case errors.Is(err, fleet.ErrConflict), errors.Is(err, fleet.ErrNotFound), errors.Is(err, fleet.ErrInvalid): // in words for people
		return fleet.GateAnswer{Result: fleet.ResultError, Message: question.Cluster + ": " + check.Words(err.Error())}
	}
	c.log.Warn("cluster not asked for a gate", "cluster", question.Cluster, "rollout", question.Rollout, "err", err)
	return fleet.GateAnswer{Result: fleet.ResultError, Message: question.Cluster + " could not be asked; the hub's log says why"}
}

func (c *Checker) spoke(ctx context.Context, question fleet.GateQuestion) ([]byte, error) {
	asked, err := c.store.Ask(ctx, fleet.Caller{}, question.Cluster, fleet.Ask{What: fleet.AskGate, App: question.App, Gate: &question}, spokeTime)
	if err != nil {
		return nil, err
	}
	return c.store.Answer(ctx, asked)
}

// decode reads a spoke's answer. One that no spoke of ours gives is none.
func decode(found []byte, answer *fleet.GateAnswer) error {
	if err := json.Unmarshal(found, answer); err != nil {
		return fmt.Errorf("%w: the spoke's answer is not understood", fleet.ErrInvalid)
	}
	answer.Message = check.Words(answer.Message)
	switch answer.Result {
	case fleet.ResultPass, fleet.ResultFail, fleet.ResultNoData, fleet.ResultError, fleet.ResultAgain:
		return nil
	}
	return fmt.Errorf("%w: the spoke's answer %q is not known to this hub", fleet.ErrInvalid, answer.Result)
}
