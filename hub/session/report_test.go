package session_test

import (
	"math"
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
	found, _, err := b.Instances(b.t.Context(), fleet.InstanceQuery{Kind: appKey.Kind, Cluster: s.name})
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
