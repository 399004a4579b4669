package api_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/hub/api"
	"flotilla.dev/flotilla/hub/auth"
)

// A method that the table forgets is denied to everybody, and a row of no method is a typing error.
func TestEveryRegisteredMethodIsListedAndNothingElse(t *testing.T) {
	t.Parallel()
	server := grpc.NewServer()
	api.New(api.Config{}).Register(server)
	var registered []string
	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			registered = append(registered, "/"+service+"/"+method.Name)
		}
	}
	listed := auth.Methods()
	for _, method := range registered {
		if !slices.Contains(listed, method) {
			t.Errorf("%s is served and not listed: nobody may call it", method)
		}
	}
	for _, method := range listed {
		if !slices.Contains(registered, method) {
			t.Errorf("%s is listed and not served", method)
		}
	}
	if len(registered) == 0 {
		t.Error("no method is served")
	}
}
