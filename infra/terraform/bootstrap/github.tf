# Who deploys: a pull request plans, the environment `production` applies; GitHub signs which of them asks.

# Repositories made or renamed since 15 July 2026 sign their ids behind the names, as in
# repo:octocat@123456/my-repo@456789:pull_request; others sign the names alone
# (github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens). With ids given,
# both forms are trusted, so that the change of one to the other stops no deployment.
locals {
  names = split("/", var.repository)
  ids   = split("/", var.repository_ids)
  signed = compact([
    "repo:${var.repository}",
    var.repository_ids == "" ? "" : "repo:${local.names[0]}@${local.ids[0]}/${local.names[1]}@${local.ids[1]}",
  ])
  subjects = {
    plan  = [for who in local.signed : "${who}:pull_request"]
    apply = [for who in local.signed : "${who}:environment:production"]
  }
  issuer = "token.actions.githubusercontent.com"
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  for_each = local.subjects

  name                 = "${var.name}-deploy-${each.key}"
  description          = "deploy.yml of ${var.repository}: ${each.key}"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.trust[each.key].json
}

data "aws_iam_policy_document" "trust" {
  for_each = local.subjects

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = each.value
    }
  }
}
