package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Asker asks.
type Asker struct {
	// Client reaches servers, by the authorities of a Secret where it has some. It says which addresses may be connected to.
	// The bodies of answers are read up to MaxAnswer, and those other than 2xx up to MaxError.
	Client func(*tls.Config) *http.Client
	// Secret is the content of one; fleet.ErrNotFound: there is none.
	Secret func(context.Context, fleet.NamespacedRef) (map[string][]byte, error)
}

const (
	// MaxAnswer bounds what is read of an answer, and MaxError of one that is none.
	MaxAnswer = 1 << 20
	MaxError  = 4 << 10
	// queryTime bounds a query.
	queryTime = 30 * time.Second
)

// Ask asks, and says what was answered. That nobody could be asked is an answer as well: ResultError.
func (a Asker) Ask(ctx context.Context, q fleet.GateQuestion) fleet.GateAnswer {
	var answer fleet.GateAnswer
	var err error
	switch {
	case q.Gate.Analysis != nil:
		answer, err = a.analyse(ctx, q, *q.Gate.Analysis)
	case q.Gate.Webhook != nil:
		answer, err = a.call(ctx, q, *q.Gate.Webhook)
	default:
		err = fmt.Errorf("a gate of type %s asks nobody", q.Gate.Type())
	}
	if err != nil {
		return fleet.GateAnswer{Result: fleet.ResultError, Message: err.Error()}
	}
	return answer
}

// secret is the content of what a gate names; nil: it names none.
func (a Asker) secret(ctx context.Context, ref *fleet.NamespacedRef) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	name := "Secret/" + ref.Namespace + "/" + ref.Name
	data, err := a.Secret(ctx, *ref)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return nil, fmt.Errorf("%s is not there", name)
	case errors.Is(err, fleet.ErrDenied):
		return nil, fmt.Errorf("%s may not be read", name)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read now", name)
	case data == nil:
		data = map[string][]byte{}
	}
	return data, nil
}
