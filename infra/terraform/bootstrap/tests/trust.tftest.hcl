# Whom the roles of the workflow trust: `terraform test`, which asks nothing of AWS.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "testing"
  secret_key                  = "testing"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.here
  values = { account_id = "123456789012" }
}

override_resource {
  target = aws_iam_openid_connect_provider.github
  values = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
}

variables {
  state_bucket = "retail-state-test"
  lake_bucket  = "retail-lake-test"
  repository   = "octocat/my-repo"
}

run "names_alone_are_trusted" {
  command = plan

  assert {
    condition = local.subjects == {
      plan  = ["repo:octocat/my-repo:pull_request"]
      apply = ["repo:octocat/my-repo:environment:production"]
    }
    error_message = "The roles trust another subject than that of the repository's name."
  }
}

run "names_with_ids_are_trusted_too" {
  command = plan

  variables {
    repository_ids = "123456/456789"
  }

  assert {
    condition = local.subjects == {
      plan = ["repo:octocat/my-repo:pull_request", "repo:octocat@123456/my-repo@456789:pull_request"]
      apply = [
        "repo:octocat/my-repo:environment:production",
        "repo:octocat@123456/my-repo@456789:environment:production",
      ]
    }
    error_message = "The roles do not trust the subject with ids."
  }
}
