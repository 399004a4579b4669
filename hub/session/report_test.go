package session_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// settled is a good report of the App.
func settled(change ...func(*spokev1.AssignmentReport)) *spokev1.AssignmentReport {
	report := &spokev1.AssignmentReport{Key: appKey.String(), Epoch: 1, Generation: 1, Stage: spokev1.Stage_STAGE_SETTLED, ObservedAt: timestamppb.Now()}
	for _, c := range change {
		c(report)
	}
	return report
}

// instance is the App in the spoke's cluster.
func (b *bundle) instance(s *spoke) fleet.Instance {
	b.t.Helper()
	found, _, err := b.Instances(b.t.Context(), fleet.InstanceQuery{Kind: appKey.Kind, Cluster: s.name, Detail: true})
	if err != nil || len(found) != 1 {
		b.t.Fatalf("%d instances, error %v", len(found), err)
	}
	return found[0]
}

// A spoke may be of a newer version: what this hub does not know must not keep the rest from it, for the spoke sends a
// report until it is stored.
func TestReportThatIsNotUnderstoodDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	number := s.connect(nil).welcome.GetSession()
	for name, change := range map[string]func(*spokev1.AssignmentReport){
		"stage":            func(r *spokev1.AssignmentReport) { r.Stage = 100 },
		"no stage":         func(r *spokev1.AssignmentReport) { r.Stage = 0 },
		"waiting":          func(r *spokev1.AssignmentReport) { r.Waiting = 100 },
		"key":              func(r *spokev1.AssignmentReport) { r.Key = "?" },
		"release":          func(r *spokev1.AssignmentReport) { r.Release = []byte("short") },
		"epoch":            func(r *spokev1.AssignmentReport) { r.Epoch = math.MaxUint64 },
		"generation":       func(r *spokev1.AssignmentReport) { r.Generation = math.MaxInt64 },
		"detail":           func(r *spokev1.AssignmentReport) { r.Detail = []byte(`{"failures":"many"}`) },
		"held prune":       func(r *spokev1.AssignmentReport) { r.HeldPrune = &spokev1.HeldPrune{Digest: []byte("short")} },
		"everything large": nil,
	} {
		t.Run(name, func(t *testing.T) {
			good := settled(func(r *spokev1.AssignmentReport) {
				r.Ready = &spokev1.Condition{Reason: name}
				r.Objects, r.ObjectsNotReady, r.DriftCorrections = math.MaxUint32, math.MaxUint32, math.MaxUint64
				r.ObservedAt = &timestamppb.Timestamp{Seconds: math.MaxInt64, Nanos: -1}
			})
			reports := []*spokev1.AssignmentReport{good}
			if change != nil {
				reports = []*spokev1.AssignmentReport{settled(change), good}
			}
			s.sequence++
			if _, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: s.sequence, Reports: reports,
				UnknownAssignments: []string{"?"},
				Events:             []*spokev1.Event{{Number: s.sequence, Key: "?"}, {Number: math.MaxUint64}},
			}); err != nil {
				t.Fatal(err)
			}
			got := b.instance(s)
			if got.Report == nil || got.Report.Stage != fleet.StageSettled || got.Report.Ready.Reason != name {
				t.Errorf("stored is %+v", got.Report)
			}
			if age := time.Since(got.Report.ObservedAt); age < 0 || age > time.Hour {
				t.Errorf("observed at %s", got.Report.ObservedAt)
			}
		})
	}
}

func TestNumberThatNoHubCountsToIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	for name, held := range map[string]*spokev1.StateID{
		"epoch": {Epoch: math.MaxInt64}, "version": {Epoch: 1, Version: math.MaxUint64},
	} {
		stream, err := s.Connect(t.Context(), &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1, ClusterName: s.name, State: held})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if wantCode(t, err, codes.InvalidArgument); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	number := s.connect(nil).welcome.GetSession()
	_, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: math.MaxUint64})
	wantCode(t, err, codes.InvalidArgument)
	if names, err := b.EndRecovery(t.Context(), admin, false); err != nil || len(names) != 0 {
		t.Errorf("recovered %v, error %v", names, err)
	}
}

// Texts come from charts and webhooks of tenants: what no database takes must not keep all else from it.
func TestNoTextOfAReportKeepsItFromTheHub(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	number := s.connect(nil).welcome.GetSession()
	for name, detail := range map[string]string{
		"NUL":               `{"released":{"status":"False","message":"one\u0000\u001b[2J two"}}`,
		"invalid UTF-8":     "{\"released\":{\"message\":\"one\xff two\"}}",
		"half a character":  `{"released":{"message":"one\ud800 two"}}`,
		"NUL in a key":      `{"history":[{"testHooks":{"a\u0000":{"phase":"Failed\u0000"}}}]}`,
		"a vast number":     `{"failures":1e131000}`,
		"an unknown number": `{"unknown":1e131000}`,
		"no JSON":           `{`,
		"a year too far":    `{"history":[{"deleted":"99999-01-01T00:00:00Z"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			bad := "x\x00\x1b" + name
			s.sequence++
			if _, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: s.sequence, UnknownAssignments: []string{bad},
				Reports: []*spokev1.AssignmentReport{settled(func(r *spokev1.AssignmentReport) {
					r.Detail, r.HandledReconcileAt = []byte(detail), bad
					r.Ready, r.Healthy = &spokev1.Condition{Reason: bad, Message: bad}, &spokev1.Condition{Reason: bad, Message: bad}
					object := &spokev1.ObjectReference{Group: bad, Version: bad, Kind: bad, Namespace: bad, Name: bad}
					r.NotReady = []*spokev1.ObjectStatus{{Object: object, Status: bad, Message: bad}}
					r.HeldPrune = &spokev1.HeldPrune{Reason: bad}
				})},
				Events: []*spokev1.Event{{Number: s.sequence, Object: &spokev1.ObjectReference{Kind: bad}, Reason: bad, Message: bad}, {Number: s.sequence, Key: bad}},
			}); err != nil {
				t.Fatal(err)
			}
			got := b.instance(s).Report
			if got == nil || got.Ready.Message != "x"+name {
				t.Fatalf("stored is %+v", got)
			}
			if strings.Contains(string(got.Detail), `\u00`) {
				t.Errorf("the detail has control characters: %s", got.Detail)
			}
		})
	}
}

// What was told of a release is more than nothing, until a newer word on it is understood.
func TestADetailThatIsNotUnderstoodLeavesTheOneBefore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	number := s.connect(nil).welcome.GetSession()
	for _, test := range []struct{ detail, want string }{
		{`{"failures": 1}`, `{"failures": 1}`}, {strings.Repeat(" ", fleet.MaxDetail+1), `{"failures": 1}`}, {`{"failures":"many"}`, `{"failures": 1}`}, {`{"failures": 2}`, `{"failures": 2}`}, {"", ""},
	} {
		s.sequence++
		if _, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: s.sequence,
			Reports: []*spokev1.AssignmentReport{settled(func(r *spokev1.AssignmentReport) {
				r.Detail, r.Ready = []byte(test.detail), &spokev1.Condition{Message: fmt.Sprint(s.sequence)}
			})}}); err != nil {
			t.Fatal(err)
		}
		if got := b.instance(s).Report; string(got.Detail) != test.want || got.Ready.Message != fmt.Sprint(s.sequence) {
			t.Errorf("after %.20q the detail is %q, want %q", test.detail, got.Detail, test.want)
		}
	}
}
