package hook

import "context"

// dockerHub calls need to know the path.
func dockerHub(_ context.Context, c call) (Event, error) {
	var body struct {
		PushData struct {
			Tag string `json:"tag"`
		} `json:"push_data"`
		Repository struct {
			URL string `json:"repo_url"`
		} `json:"repository"`
	}
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	return Event{About: quoted(body.Repository.URL + ":" + body.PushData.Tag), Content: c.Body}, nil
}

// quay calls need to know the path.
func quay(_ context.Context, c call) (Event, error) {
	var body struct {
		DockerURL   string   `json:"docker_url"`
		UpdatedTags []string `json:"updated_tags"`
	}
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	return Event{About: quoted(body.DockerURL), Content: c.Body}, nil
}

// acr calls, those of an Azure registry, need to know the path.
func acr(_ context.Context, c call) (Event, error) {
	var body struct {
		Action string `json:"action"`
		Target struct {
			Repository string `json:"repository"`
			Tag        string `json:"tag"`
		} `json:"target"`
	}
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	return Event{About: quoted(body.Target.Repository + ":" + body.Target.Tag), Content: c.Body}, nil
}
