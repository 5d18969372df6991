# What the two roles of the workflow may do.

locals {
  account   = data.aws_caller_identity.here.account_id
  arn       = "arn:${data.aws_partition.here.partition}"
  underline = replace(var.name, "-", "_")
  state     = "${local.arn}:s3:::${var.state_bucket}"
  lake      = "${local.arn}:s3:::${var.lake_bucket}"
  here      = "${var.region}:${local.account}"

  # Everything of the pipeline bears its name, except for keys and the account's own lists.
  named = [
    "${local.arn}:athena:${local.here}:workgroup/${var.name}",
    "${local.arn}:budgets::${local.account}:budget/${var.name}-month",
    "${local.arn}:cloudwatch:${local.here}:alarm:${var.name}-*",
    "${local.arn}:events:${local.here}:rule/${var.name}-*",
    "${local.arn}:firehose:${local.here}:deliverystream/${var.name}-*",
    "${local.arn}:glue:${local.here}:catalog",
    "${local.arn}:glue:${local.here}:database/${local.underline}_bronze",
    "${local.arn}:glue:${local.here}:job/${local.underline}_glue_cleaner",
    "${local.arn}:glue:${local.here}:table/${local.underline}_bronze/*",
    "${local.arn}:glue:${local.here}:trigger/${var.name}-*",
    "${local.arn}:glue:${local.here}:workflow/${var.name}-*",
    "${local.arn}:iam::${local.account}:policy/${var.name}-*",
    "${local.arn}:iam::${local.account}:role/${var.name}-*",
    "${local.arn}:logs:${local.here}:log-group:/aws-glue/jobs/${local.underline}_glue_cleaner/*",
    "${local.arn}:logs:${local.here}:log-group:/aws/events/${var.name}-*",
    "${local.arn}:logs:${local.here}:log-group:/aws/kinesisfirehose/${var.name}-*",
    "${local.arn}:sns:${local.here}:${var.name}-*",
    "${local.arn}:sqs:${local.here}:${var.name}-*",
    local.lake,
    "${local.lake}/glue/*",
  ]
  services = ["athena", "budgets", "cloudwatch", "events", "firehose", "glue", "logs", "sns", "sqs", "s3", "iam"]
}

resource "aws_iam_role_policy" "state" {
  for_each = local.subjects

  name   = "state"
  role   = aws_iam_role.deploy[each.key].id
  policy = data.aws_iam_policy_document.state[each.key].json
}

data "aws_iam_policy_document" "state" {
  for_each = local.subjects

  statement {
    actions   = ["s3:ListBucket"]
    resources = [local.state]
  }

  statement {
    actions   = each.key == "plan" ? ["s3:GetObject"] : ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.state}/retail-medallion/*"]
  }

  # The lock is an object that goes again, also with a plan.
  statement {
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${local.state}/retail-medallion/terraform.tfstate.tflock"]
  }
}

resource "aws_iam_role_policy" "read" {
  for_each = local.subjects

  name   = "read"
  role   = aws_iam_role.deploy[each.key].id
  policy = data.aws_iam_policy_document.read.json
}

data "aws_iam_policy_document" "read" {
  statement {
    sid = "ReadThePipeline"
    actions = concat(
      [for service in local.services : "${service}:Get*" if !contains(["budgets", "cloudwatch"], service)],
      [for service in local.services : "${service}:List*" if service != "budgets"],
      ["budgets:ViewBudget", "budgets:ListTagsForResource", "cloudwatch:DescribeAlarms", "events:DescribeRule", "firehose:DescribeDeliveryStream"],
    )
    resources = local.named
  }

  statement {
    sid = "ReadWhatHasNoArn"
    actions = [
      "cloudwatch:DescribeAlarms", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
      "kms:ListAliases", "kms:ListResourceTags", "logs:DescribeLogGroups", "logs:DescribeLogStreams",
      "logs:DescribeResourcePolicies", "sns:GetSubscriptionAttributes", "sts:GetCallerIdentity",
    ]
    resources = ["*"]
  }
}

# Whoever creates roles for services can, by way of such a role, do what the account can: so this role
# belongs in an account that holds the pipeline and nothing else, and a merge to main is what it is worth.
# It cannot change itself or the role that plans.
resource "aws_iam_role_policy" "write" {
  name   = "write"
  role   = aws_iam_role.deploy["apply"].id
  policy = data.aws_iam_policy_document.write.json
}

data "aws_iam_policy_document" "write" {
  statement {
    sid       = "WriteThePipeline"
    actions   = [for service in local.services : "${service}:*"]
    resources = local.named
  }

  statement {
    sid = "WriteWhatHasNoName"
    actions = [
      "kms:CreateKey", "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:TagResource",
      "kms:UntagResource", "kms:EnableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
      "kms:UpdateKeyDescription", "logs:PutResourcePolicy", "logs:DeleteResourcePolicy",
      "sns:Unsubscribe", "sns:SetSubscriptionAttributes",
    ]
    resources = ["*"]
  }

  statement {
    sid    = "NeverItself"
    effect = "Deny"
    actions = [
      "iam:AttachRolePolicy", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
      "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
    ]
    resources = ["${local.arn}:iam::${local.account}:role/${var.name}-deploy-*"]
  }
}
