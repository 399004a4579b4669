package main

import (
	"context"
	"iter"

	"google.golang.org/grpc"
)

// pages are those of a list of the hub's, from the first on; token is the request's. An error is the last of them.
func pages[Request any, Page interface{ GetNextPageToken() string }](
	ctx context.Context, list func(context.Context, *Request, ...grpc.CallOption) (Page, error), request *Request, token *string,
) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for *token = ""; ; {
			page, err := list(ctx, request)
			if !yield(page, err) || err != nil {
				return
			}
			if *token = page.GetNextPageToken(); *token == "" {
				return
			}
		}
	}
}
