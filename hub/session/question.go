package session

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// asks say how what is asked goes down the stream. A new question has a row here, and in the table of the spokes.
var asks = map[string]func(fleet.Ask, *spokev1.Question){
	fleet.AskHeldPrune: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_HeldPrune{HeldPrune: &spokev1.HeldPruneQuestion{Key: a.App.String()}}
	},
	fleet.AskDiff: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_Diff{Diff: &spokev1.DiffQuestion{Key: a.App.String(), Drift: a.Drift, Documents: a.Documents}}
	},
	fleet.AskDeclaredDiff: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_DeclaredDiff{DeclaredDiff: &spokev1.DeclaredDiffQuestion{Key: a.App.String(), Documents: a.Documents, Terms: a.Terms.Encode()}}
	},
	fleet.AskTree: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_Tree{Tree: &spokev1.TreeQuestion{Key: a.App.String()}}
	},
	fleet.AskVariables: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_Variables{Variables: &spokev1.VariablesQuestion{Key: a.App.String()}}
	},
	fleet.AskHelmValues: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_HelmValues{HelmValues: &spokev1.HelmValuesQuestion{Key: a.App.String()}}
	},
	fleet.AskHelmHistory: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_HelmHistory{HelmHistory: &spokev1.HelmHistoryQuestion{Key: a.App.String()}}
	},
	fleet.AskGate: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_RunCheck{RunCheck: &spokev1.RunCheckQuestion{Key: a.App.String(), Question: a.Gate.Encode()}}
	},
	fleet.AskTrace: func(a fleet.Ask, q *spokev1.Question) {
		q.Ask = &spokev1.Question_Trace{Trace: &spokev1.TraceQuestion{Word: a.Word, Namespace: a.Namespace, Name: a.Name}}
	},
}

func questionToWire(q fleet.Question) (*spokev1.Question, error) {
	convert := asks[q.Ask.What]
	if convert == nil {
		return nil, fmt.Errorf("question %s: %w: this hub does not know how to ask for %q", q.ID, fleet.ErrInvalid, q.Ask.What)
	}
	question := &spokev1.Question{Id: q.ID, Deadline: timestamppb.New(q.Deadline)}
	convert(q.Ask, question)
	return question, nil
}
